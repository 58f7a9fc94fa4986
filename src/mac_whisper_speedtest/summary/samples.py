"""Which samples count, and what a round took: pure functions of a cell's raw samples."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mac_whisper_speedtest.results import schema as s


def recordings(clip: s.ClipInfo) -> list[s.UtteranceInfo]:
    """What a cell transcribes: the utterances of a set, or the one recording, whose name is ``""``.

    That name is what the samples of a single recording carry.
    """
    if clip.utterances:
        return clip.utterances
    return [
        s.UtteranceInfo(
            name="",
            seconds=clip.seconds,
            samples=clip.samples,
            pcm_sha256=clip.pcm_sha256,
            language=clip.language,
            reference=clip.reference,
            silences_s=clip.silences_s,
        )
    ]


def timed_samples(cell: s.CellResult) -> list[s.SampleResult]:
    """The timed samples that count, failed ones among them, in order of time.

    Of a sample that several attempts of a round took, that of the last attempt; of one that was
    disturbed and retaken, the new one.
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
    """The rounds that another round replaces, where the cell has samples of that other one.

    Args:
        cell: with its samples.
        rounds: the run's rounds.
        samples: `timed` of the cell, where that is known already.
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
        samples: `timed` of the cell, where that is known already.
    """
    samples = timed_samples(cell) if samples is None else samples
    lengths = {each.name: each.seconds for each in recordings(cell.clip)}
    left_out = replaced_rounds(cell, rounds, samples)
    found: defaultdict[int, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        if not sample.failed and sample.round not in left_out:
            found[sample.round][sample.utterance].append(sample.seconds)
    return {
        number: sum(map(statistics.median, each.values())) / sum(lengths[name] for name in each)
        for number, each in found.items()
    }


def by_recording(samples: Sequence[s.SampleResult]) -> Mapping[str, list[s.SampleResult]]:
    """Samples by the name of what was transcribed, in order."""
    found: defaultdict[str, list[s.SampleResult]] = defaultdict(list)
    for sample in samples:
        found[sample.utterance].append(sample)
    return found


def relative(samples: Sequence[s.SampleResult]) -> list[float]:
    """Each sample's seconds as a multiple of its recording's median, so that they compare."""
    medians = {
        name: statistics.median(each.seconds for each in group)
        for name, group in by_recording(samples).items()
    }
    return [
        sample.seconds / medians[sample.utterance] if medians[sample.utterance] > 0 else 1.0
        for sample in samples
    ]


# Which samples are in a cell's medians, as one answer for those who list samples.


def counted(run: s.Run, cell: s.CellResult) -> list[s.SampleResult]:
    """The samples that the cell's medians and intervals are made of: the objects themselves.

    Timed ones of last attempts with a text, without what was retaken and without rounds that
    others replace.
    """
    left_out = replaced_rounds(cell, run.rounds)
    timed = (each for each in timed_samples(cell) if not each.failed)
    return [each for each in timed if each.round not in left_out]
