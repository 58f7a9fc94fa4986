"""When a series of runs became faster or slower for good.

One value per run: a run is a session, and rounds within it are no replicates of what differs from
day to day. Where in the series its level has changed is asked of ranks, so that one run on a busy
machine changes nothing.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.intervals import Interval

ALARM = 0.05
"""The share of series without any change in which one is seen, where runs are independent. Runs
that resemble their neighbors (a machine that is busy for days) give more: see docs/compare.md."""

LEAST = 3
"""Runs on either side of a change. Of two, both may have been disturbed."""

PERMUTATIONS = 999
"""Orders that the observed one is compared with: p is then known to 0.7 points at 5 %."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change that lasts.

    Attributes:
        index: of the first value after it.
        p: how often a series in random order looks as much like a change.
        ratio: values after it / values before it, up to the neighboring changes, with its 95 %
            interval. The same values chose the place, so it is somewhat too far from 1.
    """

    index: int
    p: float
    ratio: Interval


def find(
    values: Sequence[float],
    *,
    margin: float = 0.0,
    alarm: float = ALARM,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[ChangePoint]:
    """Every lasting change of a series' level, in order.

    Whether there is a change is asked by the statistic of Pettitt (1979, Applied Statistics 28:
    126) at every place, divided by its standard deviation there, so that late changes count as much
    as those in the middle. How large the largest is by chance is taken from the same values in
    random orders. Ranks tell badly where it is, because once two parts are told apart their
    distance counts no more; the place is the one at which the absolute deviations of the logarithms
    from the medians of both parts are least (Bai 1995, Econometric Theory 11: 403). It divides the
    series in two, which are looked at in the same way.

    The procedure is that of E-divisive (Matteson & James 2014, JASA 109: 334), which Daly et al.
    (ICPE 2020, "The Use of Change Point Detection to Identify Software Performance Regressions in a
    Continuous Integration System") brought to performance tests; its energy statistic takes one
    run that was three times as slow for a change, and ranks do not.

    Args:
        values: one per run, in order, above zero.
        margin: a change is one whose interval lies beyond it, as ``verdict.of`` says; of others the
            smallest is dropped first, and its two parts become one.
        alarm: what ``p`` must not exceed.
        permutations: random orders per look.
        seed: of these orders: the same series gives the same answer.

    Raises:
        ValueError: for a value that is not finite and above zero.
    """
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a time is above zero, not {value!r}")
    shuffler = random.Random(seed)  # noqa: S311 - orders to compare with, not secrets
    found: dict[int, float] = {}
    waiting = [(0, len(values))]
    while waiting:
        start, end = waiting.pop()
        p = _chance(values[start:end], permutations, shuffler)
        if p <= alarm:
            place = start + _place([math.log(each) for each in values[start:end]])
            found[place] = p
            waiting += [(start, place), (place, end)]
    while True:
        points = _described(values, found)
        small = [
            each
            for each in points
            if ranking.verdict_of(each.ratio, margin) not in ranking.OPPOSITE
        ]
        if not small:
            return points
        least = min(small, key=lambda each: abs(math.log(each.ratio.estimate)))
        del found[least.index]


def _chance(values: Sequence[float], permutations: int, shuffler: random.Random) -> float:
    """How often these values in random order look as much like a change; 1 for too few."""
    if len(values) < 2 * LEAST:
        return 1.0
    scores = _scores(values)
    scales = _scales(len(values))
    observed = _largest(scores, scales)
    as_large = 0
    for _ in range(permutations):
        shuffler.shuffle(scores)
        # Rounding must not make an equal order look smaller.
        as_large += _largest(scores, scales) >= observed * (1 - 1e-12)
    return (1 + as_large) / (1 + permutations)


def _place(logs: Sequence[float]) -> int:
    """Where a series falls in two parts that vary least around their medians."""
    return min(
        range(LEAST, len(logs) - LEAST + 1),
        key=lambda place: _deviations(logs[:place]) + _deviations(logs[place:]),
    )


def _deviations(values: Sequence[float]) -> float:
    middle = statistics.median(values)
    return math.fsum(abs(each - middle) for each in values)


def _scores(values: Sequence[float]) -> list[int]:
    """Per value, how many are below it minus how many are above it."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    last = {value: place for place, value in enumerate(ordered)}
    return [first[each] - (len(values) - 1 - last[each]) for each in values]


def _scales(n: int) -> list[float]:
    """By place, the standard deviation of the sum of the scores before it, without ties."""
    return [math.sqrt(max(k * (n - k), 1) * (n + 1) / 3) for k in range(n)]


def _largest(scores: Sequence[int], scales: Sequence[float]) -> float:
    """The largest statistic of all places with enough values on either side."""
    largest, total = 0.0, 0
    for index, (score, scale) in enumerate(zip(scores, scales, strict=True)):
        if LEAST <= index <= len(scores) - LEAST:
            largest = max(largest, abs(total) / scale)
        total += score
    return largest


def _described(values: Sequence[float], found: dict[int, float]) -> list[ChangePoint]:
    ends = [0, *sorted(found), len(values)]
    points = []
    for before, at, after in zip(ends, ends[1:], ends[2:], strict=False):
        older, newer = values[before:at], values[at:after]
        ratio = intervals.of_unpaired_ratio(newer, older)
        assert ratio is not None  # LEAST values on either side
        points.append(ChangePoint(at, found[at], ratio))
    return points
