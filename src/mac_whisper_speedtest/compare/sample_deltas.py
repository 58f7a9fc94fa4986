"""What a cell's raw samples are to its figures: which count, what each round gave, what was said.

For those who show a run and do not measure: the rules are those of ``measure``.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.summary import accuracy, ranking, samples

State = Literal[
    "counts", "disturbed", "warm-up", "repeated", "round repeated", "attempt repeated", "failed"
]
"""``disturbed`` counts too: nothing could be taken in its place."""
COUNTED: frozenset[State] = frozenset({"counts", "disturbed"})


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample, and what became of it.

    Attributes:
        sample: as it was measured.
        state: whether it counts, else why it does not.
        relative: its seconds as a multiple of the median of the samples of the same recording that
            count; ``None`` where none does, or it failed.
    """

    sample: s.SampleResult
    state: State
    relative: float | None


@dataclass(frozen=True, slots=True)
class Said:
    """What a cell wrote of one recording.

    Attributes:
        name: the recording's; of a single one the clip's.
        seconds: its length.
        reference: what was said; ``None`` where nobody knows.
        language: its code.
        text: what the cell wrote most often; ``None`` where it gave no text.
    """

    name: str
    seconds: float
    reference: str | None
    language: str
    text: str | None


def taken(run: s.Run, cell: s.CellResult) -> list[Taken]:
    """Every sample of a cell, warm-ups too, in the order in which they were taken."""
    counted = {id(sample) for sample in samples.timed(cell)}
    replaced = samples.replaced_rounds(cell, run.rounds)
    states = [_state(each, id(each) in counted, each.round in replaced) for each in cell.samples]
    usual: defaultdict[str, list[float]] = defaultdict(list)
    for sample, state in zip(cell.samples, states, strict=True):
        if state in COUNTED:
            usual[sample.utterance].append(sample.seconds)
    medians = {name: statistics.median(each) for name, each in usual.items()}
    return [
        Taken(
            sample,
            state,
            sample.seconds / medians[sample.utterance]
            if state != "failed" and medians.get(sample.utterance, 0.0) > 0
            else None,
        )
        for sample, state in zip(cell.samples, states, strict=True)
    ]


def _state(sample: s.SampleResult, last: bool, replaced: bool) -> State:
    """The first reason for which it does not count."""
    if sample.failed:
        return "failed"
    if sample.kind != "timed":
        return "warm-up"
    if sample.repeated:
        return "repeated"
    if not last:
        return "attempt repeated"
    if replaced:
        return "round repeated"
    return "disturbed" if sample.touched else "counts"


def rtfx_by_round(run: s.Run, cell: s.CellResult) -> dict[int, float]:
    """Audio seconds per processing second of every round that counts."""
    found = samples.round_rtf(cell, run.rounds)
    return {number: 1 / rtf for number, rtf in sorted(found.items()) if rtf > 0}


def said(cell: s.CellResult) -> Iterator[Said]:
    """What the cell wrote, recording by recording, in the order of the speech."""
    texts = accuracy.texts(cell)
    for each in samples.recordings(cell.clip):
        yield Said(
            name=each.name or cell.clip.name,
            seconds=each.seconds,
            reference=each.reference,
            language=each.language or str(cell.contract.requested.get("language") or "en"),
            text=texts[each.name],
        )


def margin(manifest: s.Manifest) -> float:
    """The relative difference below which nothing is ranked."""
    return ranking.margin(manifest)


def ranking_level(run: s.Run) -> float:
    """The confidence with which all intervals of a ranking hold together."""
    return run.decisions[-1].level if run.decisions else intervals.LEVEL
