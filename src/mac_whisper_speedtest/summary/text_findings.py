"""Findings about a cell's texts (variation, loops, words over silence), its samples and rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.accuracy import hallucination, repeatability
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import outliers
from mac_whisper_speedtest.stats.outliers import Outlier, Timing
from mac_whisper_speedtest.summary import samples

_NAMED = 3
"""Recordings, outliers and rounds that are described one by one."""


def heard_texts(cell: s.CellResult) -> Iterator[repeatability.SampleText]:
    """The text of every sample that has one."""
    for sample in cell.samples:
        if not sample.failed:
            yield repeatability.SampleText(
                cell=cell.id,
                backend=_base_name(cell),
                model=cell.model.name,
                device=cell.backend.device,
                precision=cell.backend.precision,
                utterance=sample.utterance,
                text=sample.text,
                round=sample.round,
            )


def _base_name(cell: s.CellResult) -> str:
    """Its backend without version and precision."""
    return cell.backend.name.partition(":")[0].partition("@")[0]


def differing(cell: s.CellResult) -> Iterator[str]:
    """Different texts from the same audio."""
    for found in repeatability.within_cells(heard_texts(cell)):
        if not found.differing:
            continue
        claim = cell.contract.effective.get("temperatures") == [0.0]
        yield (
            f"up to {found.most} different texts for the same audio"
            + (
                f", in {found.differing} of {found.utterances} recordings"
                if found.utterances > 1
                else ""
            )
            + (", although it reported temperature 0 without fallback" if claim else "")
            + ("" if found.differing_words else "; only case and punctuation differ")
            + ("" if found.within_rounds else "; the same within a process")
        )


def loop(cell: s.CellResult) -> Iterator[str]:
    """Transcripts with more repetition than the speech has, as in hallucinations."""
    spoken = {each.name: each.reference for each in cell.clip.recordings}
    given = [(each.text, spoken[each.utterance]) for each in cell.samples]
    found = {each: hallucination.repetition(*each) for each in dict.fromkeys(given)}
    bad = [found[each] for each in given if found[each]]
    if bad:
        yield f"{bad[0]}, in {len(bad)} of {len(given)} transcripts"


def silence(cell: s.CellResult) -> Iterator[str]:
    """Words over silence, in any sample of any recording."""
    given = samples.by_recording(cell.samples)
    looked, found_in = 0, []
    for each in cell.clip.recordings:
        if not each.silences_s or each.name not in given:
            continue
        looked += 1
        found = (
            hallucination.over_silence(sample.segments, each.silences_s, audio_s=each.seconds)
            for sample in given[each.name]
        )
        message = next(filter(None, map(hallucination.describe_over_silence, found)), "")
        if message:
            found_in.append(f"{each.name}: {message}" if each.name else message)
    yield from found_in[:_NAMED]
    if len(found_in) > _NAMED:
        yield f"and in {len(found_in) - _NAMED} more of {looked} recordings with silence"


def failures(timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Recordings without a text from the backend."""
    bad = {sample.utterance: sample.failed for sample in timed if sample.failed}
    if bad:
        name, reason = next(iter(bad.items()))
        tried = len({sample.utterance for sample in timed})
        yield f"no text for {len(bad)} of {tried} recordings, such as {name}: {reason}"


def unreached(cell: s.CellResult, timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Recordings that the cell did not reach."""
    reached, all_ = len({sample.utterance for sample in timed}), len(cell.clip.recordings)
    if 0 < reached < all_:
        yield f"only {reached} of {all_} recordings were measured: its figures leave out the others"


# Findings that need the whole run: one rule per kind.


def outlying(run: s.Run, timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Outliers among the samples of a recording, and their likely cause."""
    flagged = {each.round: bool(each.changes) or "longer" in each.flagged for each in run.rounds}
    usual = {
        name: Counter(each.text for each in group).most_common(1)[0][0]
        for name, group in samples.by_recording(timed).items()
    }
    given = [
        Timing(
            seconds=sample.seconds,
            round=sample.round,
            index=sample.index,
            utterance=sample.utterance,
            tokens=sample.tokens,
            fallbacks=sample.fallbacks,
            text_differs=sample.text != usual[sample.utterance],
            outside_share=sample.outside_cpu_s / sample.wall_s
            if sample.outside_cpu_s is not None and sample.wall_s > 0
            else None,
            throttled=flagged.get(sample.round),
        )
        for sample in timed
        if not sample.failed and sample.seconds > 0
    ]
    found = outliers.flag_outliers(given)
    for outlier in found[:_NAMED]:
        yield _described(outlier)
    if len(found) > _NAMED:
        yield f"and {len(found) - _NAMED} more of {len(given)} samples"


def _described(outlier: Outlier) -> str:
    timing = outlier.timing
    where = f" of {timing.utterance}" if timing.utterance else ""
    which = f"sample {timing.index + 1}{where} in round {timing.round + 1}"
    took = f"took {timing.seconds:.3f} s, {outlier.factor:.2g} × the median"
    return f"{which} {took}: {outlier.cause}"


def disturbed(cell: s.CellResult, timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Samples during which other programs took the processor, or memory was short."""
    retaken = [sample for sample in cell.samples if sample.retaken]
    still = [sample for sample in timed if sample.disturbed]
    if still:
        yield (
            f"{len(still)} of the {len(timed)} samples that count were disturbed "
            f"({still[0].disturbed}): see speedtest doctor"
        )
    if retaken:
        were = "sample was" if len(retaken) == 1 else "samples were"
        yield f"{len(retaken)} {were} disturbed and retaken ({retaken[0].disturbed})"


def machine(run: s.Run, cell: s.CellResult) -> Iterator[str]:
    """Rounds in which the state of the machine changed."""
    there = {sample.round for sample in cell.samples}
    replaced = samples.replaced_rounds(cell, run.rounds)
    flagged = [each for each in run.rounds if each.flagged and each.round in there]
    for each in flagged[:_NAMED]:
        end = f"retaken as round {each.replaced_by + 1}" if each.replaced_by else "it counts"
        if each.replaced_by is not None and each.round not in replaced:
            end = "it counts, because its replacement has no samples"
        yield f"round {each.round + 1}: {each.flagged} ({end})"
    if len(flagged) > _NAMED:
        yield f"and {len(flagged) - _NAMED} more of {len(there)} rounds"


def placement(run: s.Run, cell: s.CellResult) -> Iterator[str]:
    """A text that differs from the same backend's in another precision or on another device."""
    own = next(heard_texts(cell), None)
    if own is None:
        return
    peers = [
        heard
        for other in run.cells
        if (_base_name(other), other.model.name) == (own.backend, own.model)
        and other.clip.name == cell.clip.name
        for heard in heard_texts(other)
    ]
    mine = f"{own.device or 'device unknown'} {own.precision or 'precision unknown'}"
    for pair in repeatability.across_placements(peers):
        if pair.differing and mine in {pair.first, pair.second}:
            other_place = pair.second if mine == pair.first else pair.first
            yield (
                f"its text differs from that on {other_place} in {pair.differing} of "
                f"{pair.utterances} recordings (in {pair.differing_words}, words differ)"
            )
