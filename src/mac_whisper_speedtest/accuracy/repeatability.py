"""Whether a cell gives the same text every time, and a backend on every device and precision.

Greedy decoding has one answer. Where a cell gives several, something other than the audio decides:
sampling, a race, another batch. Where one backend gives another text on another device or in
another precision, rounding decides; then a text, and its error rate, belong to that placement
only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.accuracy import normalize


@dataclass(frozen=True, slots=True)
class SampleText:
    """One sample's text and its origin.

    Attributes:
        cell: the cell's id.
        backend: the backend's name without version and precision.
        model: the canonical model name.
        device: as the worker reported it, if it did.
        precision: likewise.
        utterance: name of the recording.
        text: raw.
        round: the round's number; a round is a process.
    """

    cell: str
    backend: str
    model: str
    device: str | None
    precision: str | None
    utterance: str
    text: str
    round: int


@dataclass(frozen=True, slots=True)
class Repeatability:
    """Whether a cell's samples of each utterance agree.

    Attributes:
        cell: the cell's id.
        utterances: number of utterances with at least two samples.
        differing: of these, with more than one text.
        differing_words: of these, with more than one text if case and punctuation are ignored.
        within_rounds: of those ``differing``, with two texts from one process. The rest differ only
            from process to process.
        most: the largest number of texts of one utterance.
    """

    cell: str
    utterances: int
    differing: int
    differing_words: int
    within_rounds: int
    most: int


@dataclass(frozen=True, slots=True)
class PlacementComparison:
    """Two placements of one backend and model, compared text by text.

    Attributes:
        backend: the backend's name.
        model: the model's name.
        first: device and precision, such as ``cpu float32``.
        second: likewise, of the other placement.
        utterances: number of utterances transcribed on both.
        differing: of these, with no text in common.
        differing_words: of these, with none in common if case and punctuation are ignored.
    """

    backend: str
    model: str
    first: str
    second: str
    utterances: int
    differing: int
    differing_words: int


def within_cells(texts: Iterable[SampleText]) -> list[Repeatability]:
    """The repeatability of each cell, in the order of their first samples."""
    cells: defaultdict[str, defaultdict[str, list[SampleText]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for each in texts:
        cells[each.cell][each.utterance].append(each)
    found = []
    for cell, utterances in cells.items():
        repeated = [samples for samples in utterances.values() if len(samples) > 1]
        variants = [{_without_layout(sample.text) for sample in samples} for samples in repeated]
        found.append(
            Repeatability(
                cell=cell,
                utterances=len(repeated),
                differing=sum(len(each) > 1 for each in variants),
                differing_words=sum(len(_words(each)) > 1 for each in variants),
                within_rounds=sum(_differs_in_a_round(samples) for samples in repeated),
                most=max(map(len, variants), default=0),
            )
        )
    return found


def across_placements(texts: Iterable[SampleText]) -> list[PlacementComparison]:
    """Compare every pair of placements of one backend and model that share recordings."""
    groups: defaultdict[tuple[str, str], defaultdict[str, defaultdict[str, set[str]]]]
    groups = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for each in texts:
        place = f"{each.device or 'device unknown'} {each.precision or 'precision unknown'}"
        groups[each.backend, each.model][place][each.utterance].add(_without_layout(each.text))
    found = []
    for (backend, model), places in groups.items():
        for (first, ours), (second, theirs) in itertools.combinations(places.items(), 2):
            both = [(ours[name], theirs[name]) for name in ours if name in theirs]
            if not both:
                continue
            found.append(
                PlacementComparison(
                    backend=backend,
                    model=model,
                    first=first,
                    second=second,
                    utterances=len(both),
                    differing=sum(a.isdisjoint(b) for a, b in both),
                    differing_words=sum(_words(a).isdisjoint(_words(b)) for a, b in both),
                )
            )
    return found


def _differs_in_a_round(samples: Sequence[SampleText]) -> bool:
    rounds: defaultdict[int, set[str]] = defaultdict(set)
    for sample in samples:
        rounds[sample.round].add(_without_layout(sample.text))
    return any(len(texts) > 1 for texts in rounds.values())


def _without_layout(text: str) -> str:
    return " ".join(text.split())


def _words(texts: Iterable[str]) -> set[str]:
    return {" ".join(normalize.words_of(text)) for text in texts}
