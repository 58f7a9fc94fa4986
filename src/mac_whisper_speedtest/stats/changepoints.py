"""Finds lasting changes in a series of runs: when it became faster or slower permanently.

One value per run: a run is one session, and its rounds do not replicate differences from day to
day. The test uses ranks, so that one run on a busy machine changes nothing.
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
"""False alarms: the share of unchanged series in which a change is reported, if runs are
independent. Runs that resemble their neighbors (a machine busy for days) give more: see
docs/explanation/method.md."""

MIN_RUNS = 3
"""Fewest runs on either side of a change. Two may both have been disturbed."""

PERMUTATIONS = 999
"""Random orders to compare with the observed one; they give p to ±0.7 points at 5 %."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A lasting change.

    Attributes:
        index: index of the first value after the change.
        p: share of random orders of the series that look as much like a change.
        ratio: values after it / values before it, up to the neighboring changes, with its 95 %
            interval. The same values chose the position, so it is biased away from 1.
    """

    index: int
    p: float
    ratio: Interval


def find(
    values: Sequence[float],
    *,
    margin: float = 0.0,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[ChangePoint]:
    """Return every lasting change of a series' level, in order.

    The test uses Pettitt's statistic (1979, Applied Statistics 28: 126) at every position, divided
    by its standard deviation there, so that late changes count as much as changes in the middle.
    Its largest value is compared with its largest values for random orders of the series. Ranks
    locate a change badly, because they ignore the distance between the two levels. The change is
    therefore located where the absolute deviations of the logarithms from the medians of both parts
    are least (Bai 1995, Econometric Theory 11: 403). Both parts are then searched in the same way.

    The procedure is E-divisive (Matteson & James 2014, JASA 109: 334), which Daly et al. (ICPE
    2020, "The Use of Change Point Detection to Identify Software Performance Regressions in a
    Continuous Integration System") applied to performance tests. Its energy statistic mistakes one
    run that was three times as slow for a change; ranks do not.

    Args:
        values: one per run, in order, above zero.
        margin: a change counts if its interval is beyond this fraction (``ranking.verdict_of``).
            Of the others the smallest is dropped first, which joins its two parts.
        permutations: random orders per test.
        seed: of these orders; the same series gives the same answer.

    Raises:
        ValueError: for a value that is not finite and above zero.
    """
    logs = [math.log(value) for value in intervals.positive(values)]
    shuffler = random.Random(seed)  # noqa: S311 - orders to compare with, not secrets
    found: dict[int, float] = {}
    waiting = [(0, len(values))]
    while waiting:
        start, end = waiting.pop()
        p = _p_value(values[start:end], permutations, shuffler)
        if p <= ALARM:
            split = start + _best_split(logs[start:end])
            found[split] = p
            waiting += [(start, split), (split, end)]
    while True:
        points = _change_points(values, found)
        small = [
            each
            for each in points
            if ranking.verdict_of(each.ratio, margin) not in ranking.OPPOSITE
        ]
        if not small:
            return points
        least = min(small, key=lambda each: abs(math.log(each.ratio.estimate)))
        del found[least.index]


def _p_value(values: Sequence[float], permutations: int, shuffler: random.Random) -> float:
    """The share of random orders with as large a statistic; 1 for too few values."""
    if len(values) < 2 * MIN_RUNS:
        return 1.0
    scores = _scores(values)
    scales = _scales(len(values))
    observed = _largest_statistic(scores, scales)
    as_large = 0
    for _ in range(permutations):
        shuffler.shuffle(scores)
        # Rounding must not make an equal order look smaller.
        as_large += _largest_statistic(scores, scales) >= observed * (1 - 1e-12)
    return (1 + as_large) / (1 + permutations)


def _best_split(logs: Sequence[float]) -> int:
    """The index that splits a series into the two parts that vary least around their medians."""
    return min(
        range(MIN_RUNS, len(logs) - MIN_RUNS + 1),
        key=lambda split: _deviations(logs[:split]) + _deviations(logs[split:]),
    )


def _deviations(values: Sequence[float]) -> float:
    middle = statistics.median(values)
    return math.fsum(abs(each - middle) for each in values)


def _scores(values: Sequence[float]) -> list[int]:
    """Per value, how many are below it minus how many are above it."""
    ordered = sorted(values)
    first = {value: index for index, value in reversed(list(enumerate(ordered)))}
    last = {value: index for index, value in enumerate(ordered)}
    return [first[each] - (len(values) - 1 - last[each]) for each in values]


def _scales(n: int) -> list[float]:
    """By position, the standard deviation of the sum of the scores before it, without ties."""
    return [math.sqrt(max(k * (n - k), 1) * (n + 1) / 3) for k in range(n)]


def _largest_statistic(scores: Sequence[int], scales: Sequence[float]) -> float:
    """The largest statistic of all positions with enough values on either side."""
    largest, total = 0.0, 0
    for index, (score, scale) in enumerate(zip(scores, scales, strict=True)):
        if MIN_RUNS <= index <= len(scores) - MIN_RUNS:
            largest = max(largest, abs(total) / scale)
        total += score
    return largest


def _change_points(values: Sequence[float], found: dict[int, float]) -> list[ChangePoint]:
    ends = [0, *sorted(found), len(values)]
    points = []
    for before, at, after in zip(ends, ends[1:], ends[2:], strict=False):
        older, newer = values[before:at], values[at:after]
        ratio = intervals.of_unpaired_ratio(newer, older)
        assert ratio is not None  # MIN_RUNS values on either side
        points.append(ChangePoint(at, found[at], ratio))
    return points
