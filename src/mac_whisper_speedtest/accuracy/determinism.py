"""Is it the same text every time? In every sample of a cell, and on every device and precision.

Greedy decoding has one answer. Where a cell gives several, something else than the audio decides:
sampling, a race, another batch. Where one backend gives another text on another device or in
another precision, rounding decides; then a text, and its error rate, belong to that placement only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.accuracy import normalize


@dataclass(frozen=True, slots=True)
class Heard:
    """One sample's text, and what it came from.

    Attributes:
        cell: the cell's id.
        backend: the backend's name without version and precision.
        model: the canonical model name.
        device: as the worker reported it; ``None`` when it did not.
        precision: likewise.
        utterance: which recording.
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
class Repeats:
    """Whether a cell's samples of an utterance agree.

    Attributes:
        cell: the cell's id.
        utterances: heard at least twice.
        differing: of these, with more than one text.
        differing_words: of these, with more than one text when case and punctuation are left out.
        within_rounds: of those ``differing``, where one process alone gave two texts. The rest
            differs from process to process only.
        most: the most texts that one utterance has.
    """

    cell: str
    utterances: int
    differing: int
    differing_words: int
    within_rounds: int
    most: int


@dataclass(frozen=True, slots=True)
class Placements:
    """Two placements of one backend and model, compared text by text.

    Attributes:
        backend: the backend's name.
        model: the model's.
        first: device and precision, such as ``cpu float32``.
        second: the other's.
        utterances: heard on both.
        differing: of these, with no text in common.
        differing_words: of these, with none in common when case and punctuation are left out.
    """

    backend: str
    model: str
    first: str
    second: str
    utterances: int
    differing: int
    differing_words: int


def repeats(heard: Iterable[Heard]) -> list[Repeats]:
    """How far each cell agrees with itself, in the order in which cells come."""
    cells: defaultdict[str, defaultdict[str, list[Heard]]] = defaultdict(lambda: defaultdict(list))
    for each in heard:
        cells[each.cell][each.utterance].append(each)
    found = []
    for cell, utterances in cells.items():
        again = [samples for samples in utterances.values() if len(samples) > 1]
        texts = [{_even(sample.text) for sample in samples} for samples in again]
        found.append(
            Repeats(
                cell=cell,
                utterances=len(again),
                differing=sum(len(each) > 1 for each in texts),
                differing_words=sum(len(_words(each)) > 1 for each in texts),
                within_rounds=sum(_differs_in_a_round(samples) for samples in again),
                most=max(map(len, texts), default=0),
            )
        )
    return found


def placements(heard: Iterable[Heard]) -> list[Placements]:
    """Every pair of placements of the same backend and model that heard the same recordings."""
    groups: defaultdict[tuple[str, str], defaultdict[str, defaultdict[str, set[str]]]]
    groups = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for each in heard:
        place = f"{each.device or 'device unknown'} {each.precision or 'precision unknown'}"
        groups[each.backend, each.model][place][each.utterance].add(_even(each.text))
    found = []
    for (backend, model), places in groups.items():
        for (first, ours), (second, theirs) in itertools.combinations(places.items(), 2):
            both = [(ours[name], theirs[name]) for name in ours if name in theirs]
            if not both:
                continue
            found.append(
                Placements(
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


def _differs_in_a_round(samples: Sequence[Heard]) -> bool:
    rounds: defaultdict[int, set[str]] = defaultdict(set)
    for sample in samples:
        rounds[sample.round].add(_even(sample.text))
    return any(len(texts) > 1 for texts in rounds.values())


def _even(text: str) -> str:
    return " ".join(text.split())


def _words(texts: Iterable[str]) -> set[str]:
    return {" ".join(normalize.words_of(text)) for text in texts}
