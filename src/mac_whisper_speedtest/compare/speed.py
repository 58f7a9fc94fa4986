"""Speed of the same cell in two runs: the statistics of ``run``, without its pairs."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mac_whisper_speedtest.accuracy import gate
from mac_whisper_speedtest.accuracy import score as scores
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.bundle.redact import TEXTS_LEFT_OUT
from mac_whisper_speedtest.compare import facts
from mac_whisper_speedtest.compare.document import AccuracyChange, SpeedChange, TextChange
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Verdict
from mac_whisper_speedtest.summary import accuracy as cell_accuracy
from mac_whisper_speedtest.summary import ranking as ranking_module
from mac_whisper_speedtest.summary import samples


def machine(base: s.Run, new: s.Run) -> Interval | None:
    """How many times as long the canary took in the new run; ``None`` where it ran too seldom.

    The canary is the same work in every run (``run.monitor``), on one core.
    """
    return intervals.of_unpaired_ratio(
        list(facts.canary(new.rounds)), list(facts.canary(base.rounds))
    )


def compare(
    base: s.Run,
    new: s.Run,
    pairs: Sequence[tuple[s.CellResult, s.CellResult]],
    *,
    margin: float,
    machine: Interval | None = None,
    level: float = intervals.LEVEL,
) -> dict[str, SpeedChange]:
    """The change of every pair's speed.

    All intervals hold together with confidence ``level``: each is taken at 1 - (1 - level) / pairs
    (Bonferroni). Where so few rounds leave only Student's t, each side's spread is taken as the
    usual one of all sides at least, as in ``stats.ranking``.

    Args:
        base: the run compared with.
        new: the run judged.
        pairs: base and new cells.
        margin: see ``verdict.of``.
        machine: see :func:`machine`.
        level: of all intervals together.

    Returns:
        Id of the new cell → its change. A pair without a timed round on a side is left out.
    """
    rounds = {
        theirs.id: (ours, theirs, _rtf(base, ours), _rtf(new, theirs)) for ours, theirs in pairs
    }
    known = {name: each for name, each in rounds.items() if each[2] and each[3]}
    usual = _usual_spread([side for each in known.values() for side in each[2:]])
    each_level = 1 - (1 - level) / max(len(known), 1)
    found = {}
    for name, (ours, theirs, before, after) in known.items():
        ratio = intervals.of_unpaired_ratio(after, before, each_level, min_spread=usual)
        said, why = judge_speed(ratio, margin=margin, machine=machine)
        found[name] = SpeedChange(
            base_rtf=statistics.median(before),
            new_rtf=statistics.median(after),
            base_processor=_processor(ours),
            new_processor=_processor(theirs),
            base_rounds=before,
            new_rounds=after,
            ratio=facts.written(ratio),
            verdict=said.value,
            why=why,
        )
    return found


def judge_speed(
    ratio: Interval | None, *, margin: float, machine: Interval | None
) -> tuple[Verdict, str]:
    """The verdict on a change, and what a reader must know of it; may be empty.

    Where the canary shows that the machine itself became faster or slower beyond the margin, a
    verdict stands only if it is the same with and without that change: it is not known
    how much of it affected this backend.

    Args:
        ratio: new time / base time.
        margin: see ``verdict.of``.
        machine: how many times as long the canary took; ``None`` where that is not known.
    """
    said = ranking.verdict_of(ratio, margin)
    if ratio is None:
        return said, f"a comparison takes {intervals.MIN_ROUNDS} rounds on either side"
    changed = ranking.verdict_of(machine, margin)
    if machine is None or changed not in ranking.OPPOSITE:
        return said, ""
    without = Interval(
        ratio.estimate / machine.estimate,
        ratio.low / machine.estimate,
        ratio.high / machine.estimate,
        ratio.level,
        ratio.n,
    )
    other = ranking.verdict_of(without, margin)
    what = (
        f"the machine itself was {changed.lower()}: its canary took {machine.estimate:.2f} times "
        f"as long ({machine.low:.2f}–{machine.high:.2f})"
    )
    if other is said:
        return said, what
    return Verdict.AMBIGUOUS, f"{what}; it is {said} with that and {other} without"


def _rtf(run: s.Run, cell: s.CellResult) -> list[float]:
    found = samples.round_rtf(cell, run.rounds)
    return [found[number] for number in sorted(found)]


def _usual_spread(sides: Sequence[Sequence[float]]) -> float:
    """The median standard deviation of the logarithms of a side's rounds."""
    spreads = [
        statistics.stdev(map(math.log, each)) for each in sides if len(each) >= intervals.MIN_ROUNDS
    ]
    return statistics.median(spreads) if spreads else 0.0


def _processor(cell: s.CellResult) -> float | None:
    """Processor seconds of the worker's tree per second of audio, over all samples that count."""
    lengths = {each.name: each.seconds for each in samples.recordings(cell.clip)}
    known = [
        (each.tree_cpu_s, lengths[each.utterance])
        for each in samples.timed_samples(cell)
        if each.tree_cpu_s is not None and not each.failed
    ]
    audio_s = sum(length for _, length in known)
    return sum(cpu for cpu, _ in known) / audio_s if audio_s > 0 else None


# What a cell's raw samples are to its figures: which count, what each round gave, what was said.
#
# For those who show a run and do not measure: the rules are those of ``measure``.


State = Literal[
    "counts", "disturbed", "warm-up", "retaken", "round retaken", "attempt retaken", "failed"
]
"""``disturbed`` counts, because the sample could not be retaken."""
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


@dataclass(frozen=True, slots=True)
class CellText:
    """The text of one cell for one recording.

    Attributes:
        name: of the recording; if there is only one, of the clip.
        seconds: duration of the recording.
        reference: the reference text, if there is one.
        language: two-letter code.
        text: the most frequent text of the cell; ``None`` without any.
    """

    name: str
    seconds: float
    reference: str | None
    language: str
    text: str | None


def samples_of_cell(run: s.Run, cell: s.CellResult) -> list[ClassifiedSample]:
    """Every sample of a cell, including warm-ups, in the order measured."""
    counted = {id(sample) for sample in samples.timed_samples(cell)}
    replaced = samples.replaced_rounds(cell, run.rounds)
    states = [_state(each, id(each) in counted, each.round in replaced) for each in cell.samples]
    usual: defaultdict[str, list[float]] = defaultdict(list)
    for sample, state in zip(cell.samples, states, strict=True):
        if state in COUNTED:
            usual[sample.utterance].append(sample.seconds)
    medians = {name: statistics.median(each) for name, each in usual.items()}
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


def rtfx_by_round(run: s.Run, cell: s.CellResult) -> dict[int, float]:
    """Audio seconds per processing second of every round that counts."""
    found = samples.round_rtf(cell, run.rounds)
    return {number: 1 / rtf for number, rtf in sorted(found.items()) if rtf > 0}


def texts_of_cell(cell: s.CellResult) -> Iterator[CellText]:
    """The cell's text of each recording, in the order of the clip."""
    texts = cell_accuracy.texts(cell)
    for each in samples.recordings(cell.clip):
        yield CellText(
            name=each.name or cell.clip.name,
            seconds=each.seconds,
            reference=each.reference,
            language=each.language or str(cell.contract.requested.get("language") or "en"),
            text=texts[each.name],
        )


def margin(manifest: s.Manifest) -> float:
    """The relative difference below which nothing is ranked."""
    return ranking_module.margin(manifest)


def ranking_level(run: s.Run) -> float:
    """The confidence with which all intervals of a ranking hold together."""
    return run.decisions[-1].level if run.decisions else intervals.LEVEL


# What the same cell wrote in two runs: still as right, and still the same?


_Pairs = Sequence[tuple[s.UtteranceInfo, s.UtteranceInfo]]


def accuracy(base: s.CellResult, new: s.CellResult) -> AccuracyChange:
    """The accuracy gate between a cell's texts before and after: both heard the same recordings."""
    if _left_out(base) or _left_out(new):
        return _unjudged(None, None, "a bundle's texts were left out")
    before, after = cell_accuracy.score(base), cell_accuracy.score(new)
    if before is None or after is None:
        return _unjudged(before, after, "there is no reference text")
    try:
        found = gate.judge_gate(before, _named_alike(base, new, after))
    except ValueError:
        return _unjudged(before, after, "the two runs were given different reference texts")
    return AccuracyChange(
        metric=after.metric,
        base_rate=before.rate,
        new_rate=after.rate,
        delta=found.delta,
        low=found.low,
        high=found.high,
        verdict=found.verdict,
        how=found.how,
    )


def _unjudged(before: Score | None, after: Score | None, why: str) -> AccuracyChange:
    either = after or before
    return AccuracyChange(
        metric=either.metric if either else None,
        base_rate=before.rate if before else None,
        new_rate=after.rate if after else None,
        delta=None,
        low=None,
        high=None,
        verdict="",
        how=f"not judged: {why}",
    )


def change(base: s.CellResult, new: s.CellResult) -> TextChange | None:
    """Whether the words are the same, recording by recording; right or wrong does not matter.

    Where a cell's samples differ, its most frequent text counts (``rightness.texts``). A recording
    without a text on either side is compared as such, and has no words to count.

    Returns:
        ``None`` where a bundle's texts were left out.
    """
    if _left_out(base) or _left_out(new):
        return None
    before, after = cell_accuracy.texts(base), cell_accuracy.texts(new)
    usual = str(new.contract.requested.get("language") or "en")
    texts = [
        (ours.language or usual, before[ours.name], after[theirs.name])
        for ours, theirs in _pairs(base.clip, new.clip)
    ]
    both = [
        scores.Utterance(name=str(number), reference=old, language=language, hypothesis=now)
        for number, (language, old, now) in enumerate(texts)
        if old is not None and now is not None
    ]
    scored = scores.score(both) if both else None
    return TextChange(
        recordings=len(texts),
        same=sum(1 for _, old, now in texts if old == now),
        metric=scored.metric if scored else None,
        changed=scored.rate if scored else None,
    )


def _left_out(cell: s.CellResult) -> bool:
    return any(each.reason == TEXTS_LEFT_OUT for each in cell.clip.unscored)


def _pairs(base: s.ClipInfo, new: s.ClipInfo) -> _Pairs:
    """The recordings of both clips by their samples: in a bundle they have other names."""
    waiting: dict[str, list[s.UtteranceInfo]] = {}
    for each in samples.recordings(new):
        waiting.setdefault(each.pcm_sha256, []).append(each)
    return [
        (each, waiting[each.pcm_sha256].pop(0))
        for each in samples.recordings(base)
        if waiting.get(each.pcm_sha256)
    ]


def _named_alike(base: s.CellResult, new: s.CellResult, after: Score) -> Score:
    """The new cell's score with the names and the order that the base has."""
    scored = {each.name: each for each in after.per_utterance}
    pairs = [
        (ours.name or base.clip.name, theirs.name or new.clip.name)
        for ours, theirs in _pairs(base.clip, new.clip)
    ]
    named = tuple(replace(scored[now], name=old) for old, now in pairs if now in scored)
    return replace(after, per_utterance=named)
