"""Which samples count, and the time of a round: pure functions of a cell's raw samples."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import rounds_requested


def timed_samples(cell: s.CellResult) -> list[s.SampleResult]:
    """The timed samples that count, including failed ones, in order of time.

    If several attempts of a round took a sample, the last attempt's counts. A disturbed sample
    that was retaken does not count.
    """
    taken = [each for each in cell.samples if each.kind == "timed" and not each.retaken]
    if not any(each.attempt for each in taken):
        return taken
    last = {(each.round, each.utterance, each.index): each.attempt for each in taken}
    return [each for each in taken if each.attempt == last[each.round, each.utterance, each.index]]


def replaced_rounds(
    cell: s.CellResult,
    rounds: Sequence[s.RoundResult],
    samples: Sequence[s.SampleResult] | None = None,
) -> set[int]:
    """The rounds that were replaced by another round in which the cell has samples.

    Args:
        cell: with its samples.
        rounds: the run's rounds.
        samples: `timed_samples` of the cell, if known.
    """
    retaken = [each for each in rounds if each.replaced_by is not None]
    if not retaken:
        return set()
    samples = timed_samples(cell) if samples is None else samples
    there = {sample.round for sample in samples if not sample.failed}
    return {each.round for each in retaken if each.replaced_by in there}


def round_rtf(
    cell: s.CellResult,
    rounds: Sequence[s.RoundResult],
    samples: Sequence[s.SampleResult] | None = None,
) -> dict[int, float]:
    """Processing seconds per audio second of every round that counts.

    A round's seconds are the sum over recordings of the median of that recording's samples. A
    recording that failed in a round counts neither as seconds nor as audio; accuracy counts it.

    Args:
        cell: with its samples.
        rounds: the run's rounds: some may have been retaken.
        samples: `timed_samples` of the cell, if known.
    """
    samples = timed_samples(cell) if samples is None else samples
    left_out = replaced_rounds(cell, rounds, samples)
    counting = [each for each in samples if each.round not in left_out]
    return rtf_by_round(counting, {each.name: each.seconds for each in cell.clip.recordings})


def rtf_by_round(
    samples: Iterable[s.SampleResult], lengths: Mapping[str, float]
) -> dict[int, float]:
    """:func:`round_rtf` of these samples.

    Args:
        samples: timed ones.
        lengths: seconds of each recording by its name.
    """
    found: defaultdict[int, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        if not sample.failed:
            found[sample.round][sample.utterance].append(sample.seconds)
    return {
        number: sum(map(statistics.median, each.values())) / sum(lengths[name] for name in each)
        for number, each in found.items()
    }


def pass_seconds(cell: s.CellResult, samples: Sequence[s.SampleResult]) -> list[float]:
    """Seconds for the speech in each pass, of the passes with texts for the most recordings.

    Args:
        cell: with its clip.
        samples: timed ones that count, each with a text.
    """
    lengths = {each.name: each.seconds for each in cell.clip.recordings}
    passes: defaultdict[tuple[int, int], list[s.SampleResult]] = defaultdict(list)
    for sample in samples:
        passes[sample.round, sample.index].append(sample)
    most = max(map(len, passes.values()), default=0)
    return [
        sum(sample.seconds for sample in each)
        * (cell.clip.seconds / sum(lengths[sample.utterance] for sample in each))
        for each in passes.values()
        if len(each) == most
    ]


def per_audio_second(
    cell: s.CellResult, value: Callable[[s.SampleResult], float | None]
) -> float | None:
    """A value summed over the samples that count, per second of their audio, or ``None``.

    Args:
        cell: the cell.
        value: gives a sample's value, or ``None``.
    """
    lengths = {each.name: each.seconds for each in cell.clip.recordings}
    known = [
        (found, lengths[each.utterance])
        for each in timed_samples(cell)
        if (found := value(each)) is not None and not each.failed
    ]
    audio_s = sum(length for _, length in known)
    return sum(found for found, _ in known) / audio_s if audio_s > 0 else None


def warm_ups(cell: s.CellResult) -> list[list[s.SampleResult]]:
    """The warm-up calls of every process that has any, in order."""
    found: defaultdict[tuple[int, int], list[s.SampleResult]] = defaultdict(list)
    for sample in cell.samples:
        if sample.kind == "warmup":
            found[sample.round, sample.attempt].append(sample)
    return list(found.values())


def by_recording(samples: Sequence[s.SampleResult]) -> Mapping[str, list[s.SampleResult]]:
    """Samples by the name of their recording, in order."""
    found: defaultdict[str, list[s.SampleResult]] = defaultdict(list)
    for sample in samples:
        found[sample.utterance].append(sample)
    return found


def relative(samples: Sequence[s.SampleResult]) -> list[float]:
    """Each sample's seconds as a multiple of its recording's median."""
    medians = _medians(samples)
    return [
        sample.seconds / medians[sample.utterance] if medians[sample.utterance] > 0 else 1.0
        for sample in samples
    ]


def _medians(samples: Sequence[s.SampleResult]) -> dict[str, float]:
    """Recording → its median seconds."""
    return {
        name: statistics.median(each.seconds for each in group)
        for name, group in by_recording(samples).items()
    }


State = Literal[
    "counts", "disturbed", "warm-up", "retaken", "round retaken", "attempt retaken", "failed"
]
"""``disturbed``: could not be retaken, and counts."""
COUNTED: frozenset[State] = frozenset({"counts", "disturbed"})


@dataclass(frozen=True, slots=True)
class ClassifiedSample:
    """A sample, and whether it counts.

    Attributes:
        sample: as measured.
        state: ``counts``, or the reason why it is special.
        relative: its seconds as a multiple of the median of its recording's samples that count;
            ``None`` if none counts or it failed.
    """

    sample: s.SampleResult
    state: State
    relative: float | None


def classified(run: s.Run, cell: s.CellResult) -> list[ClassifiedSample]:
    """Every sample of a cell, including warm-ups, in the order measured."""
    last = {id(sample) for sample in timed_samples(cell)}
    replaced = replaced_rounds(cell, run.rounds)
    states = [_state(each, id(each) in last, each.round in replaced) for each in cell.samples]
    counting = [
        sample for sample, state in zip(cell.samples, states, strict=True) if state in COUNTED
    ]
    medians = _medians(counting)
    return [
        ClassifiedSample(
            sample,
            state,
            sample.seconds / medians[sample.utterance]
            if state != "failed" and medians.get(sample.utterance, 0.0) > 0
            else None,
        )
        for sample, state in zip(cell.samples, states, strict=True)
    ]


def _state(sample: s.SampleResult, last: bool, replaced: bool) -> State:
    if sample.failed:
        return "failed"
    if sample.kind != "timed":
        return "warm-up"
    if sample.retaken:
        return "retaken"
    if not last:
        return "attempt retaken"
    if replaced:
        return "round retaken"
    return "disturbed" if sample.disturbed else "counts"


def counted(run: s.Run, cell: s.CellResult) -> list[s.SampleResult]:
    """The samples behind the cell's medians and intervals."""
    return [each.sample for each in classified(run, cell) if each.state in COUNTED]


def rtfx_by_round(run: s.Run, cell: s.CellResult) -> dict[int, float]:
    """Audio seconds per processing second of every round that counts."""
    found = round_rtf(cell, run.rounds)
    return {number: 1 / rtf for number, rtf in sorted(found.items()) if rtf > 0}


def asked(run: s.Run, cell: s.CellResult) -> int:
    """The timed samples of a cell that were requested."""
    passes = run.manifest.request.passes * len(cell.clip.recordings)
    return rounds_requested(cell.id, run.manifest, run.decisions) * passes
