"""Speed of the same cell in two runs: the statistics of ``run``, without its pairs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from mac_whisper_speedtest.compare import facts
from mac_whisper_speedtest.compare.document import RatioInfo, SideSpeed, SpeedChange
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Verdict
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
        margin: see ``stats.ranking.verdict_of``.
        machine: see :func:`machine`.
        level: of all intervals together.

    Returns:
        Id of the new cell → its change. A pair without a timed round on a side is left out.
    """
    measured = [
        (before, after, base_rtf, new_rtf)
        for before, after in pairs
        if (base_rtf := _rtf_of_rounds(base, before)) and (new_rtf := _rtf_of_rounds(new, after))
    ]
    usual = _usual_spread([side for each in measured for side in each[2:]])
    each_level = 1 - (1 - level) / max(len(measured), 1)
    changes = {}
    for before, after, base_rtf, new_rtf in measured:
        ratio = intervals.of_unpaired_ratio(new_rtf, base_rtf, each_level, min_spread=usual)
        verdict, why = judge_speed(ratio, margin=margin, machine=machine)
        changes[after.id] = SpeedChange(
            base=_side(before, base_rtf),
            new=_side(after, new_rtf),
            ratio=RatioInfo.of(ratio),
            verdict=verdict.value,
            why=why,
        )
    return changes


def judge_speed(
    ratio: Interval | None, *, margin: float, machine: Interval | None
) -> tuple[Verdict, str]:
    """The verdict on a change, and a note on it, perhaps empty.

    Where the canary shows that the machine itself became faster or slower beyond the margin, a
    verdict stands only if it is the same with and without that change: it is not known
    how much of it affected this backend.

    Args:
        ratio: new time / base time.
        margin: see ``stats.ranking.verdict_of``.
        machine: how many times as long the canary took; ``None`` where that is not known.
    """
    verdict = ranking.verdict_of(ratio, margin)
    if ratio is None:
        return verdict, f"a comparison needs {intervals.MIN_ROUNDS} rounds on each side"
    changed = ranking.verdict_of(machine, margin)
    if machine is None or changed not in ranking.OPPOSITE:
        return verdict, ""
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
    if other is verdict:
        return verdict, what
    return Verdict.AMBIGUOUS, f"{what}; it is {verdict} with that and {other} without"


def _side(cell: s.CellResult, rounds: list[float]) -> SideSpeed:
    return SideSpeed(rtf=statistics.median(rounds), rounds=rounds, processor=_processor(cell))


def _rtf_of_rounds(run: s.Run, cell: s.CellResult) -> list[float]:
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
    return samples.per_audio_second(cell, lambda sample: sample.tree_cpu_s)
