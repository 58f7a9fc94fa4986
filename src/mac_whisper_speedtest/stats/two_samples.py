"""The ratio of two cells that were measured at different times: two samples without pairs.

In one run cells share rounds, and what a round did to both cancels (``intervals.of_ratio``). Two
runs share none: all that one run's machine did to it is in the difference.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

from mac_whisper_speedtest.stats import critical, intervals
from mac_whisper_speedtest.stats.intervals import Interval

EXACT_UP_TO = 10_000
"""Pairs of values up to which the null distribution of Mann and Whitney's U is counted out. Above,
the normal approximation with a correction for continuity is right to the third digit."""


def of_ratio(
    a: Sequence[float],
    b: Sequence[float],
    level: float = intervals.LEVEL,
    *,
    least_spread: float = 0.0,
) -> Interval | None:
    """How many times as large ``a`` is as ``b``.

    The estimate of Hodges and Lehmann on the scale of logarithms, the median of all log(a/b), with
    the interval that inverts the test of Mann and Whitney (Hollander, Wolfe & Chicken,
    Nonparametric Statistical Methods, 3rd ed., sections 4.2 and 4.3; Bauer 1972, JASA 67: 687).
    It assumes that both samples have one shape, and is exact for any shape.

    Where so few values cannot reach the level by ranks (3 against 3 at 95 %), it is the difference
    of means and Welch's t with Satterthwaite's degrees of freedom, rounded down.

    Args:
        a: one value per round, above zero.
        b: the same of the other run; as many or not.
        level: the confidence wanted.
        least_spread: the standard deviation of logarithms that Welch's t takes at least, where more
            than these few values is known of it (see ``ranking.rank``).

    Returns:
        ``n`` of it is the smaller number of values. ``None`` with fewer than three on a side.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    critical.check_level(level)
    first, second = _logs(a), _logs(b)
    n = min(len(first), len(second))
    if n < intervals.MIN_ROUNDS:
        return None
    rank = mann_whitney(len(first), len(second), level)
    if rank == 0:
        return _welch(first, second, level, least_spread)
    found = sorted(x - y for x in first for y in second)
    return _ratio(statistics.median(found), found[rank - 1], found[-rank], level, n)


def range_of_ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The same from any number of values: the smallest and largest ratio that there is.

    The widest interval that ranks give. Its level is what it reaches: 1 - 2 / (m + n choose m); of
    one value against one that is 0.

    Args:
        a: one value per round, above zero; one at least.
        b: the same of the other run.

    Raises:
        ValueError: for a value that is not finite and above zero, or none at all.
    """
    first, second = _logs(a), _logs(b)
    if not first or not second:
        raise ValueError("a ratio takes a value on either side")
    found = sorted(x - y for x in first for y in second)
    arrangements = math.comb(len(first) + len(second), len(first))
    level = max(0.0, 1 - 2 / arrangements)
    return _ratio(
        statistics.median(found), found[0], found[-1], level, min(len(first), len(second))
    )


@functools.cache
def mann_whitney(m: int, n: int, level: float) -> int:
    """How far from either end of the m·n sorted differences the interval may begin.

    Returns:
        The largest k for which the k-th smallest and the k-th largest difference enclose the shift
        with probability ``level`` at least; 0 where there are too few values.
    """
    half = (1 - level) / 2 + critical.ROUNDING
    if m * n > EXACT_UP_TO:
        spread = math.sqrt(m * n * (m + n + 1) / 12)
        rank = m * n / 2 + 0.5 + statistics.NormalDist().inv_cdf(half) * spread
        return max(math.floor(rank), 0)
    arrangements = math.comb(m + n, m)
    tail = 0
    for rank, count in enumerate(_counts(m, n)):
        tail += count
        if tail / arrangements > half:
            return rank
    return 0


@functools.cache
def _counts(m: int, n: int) -> list[int]:
    """How many arrangements of m and n values give each U, up to the middle of the distribution.

    The coefficients of the Gaussian binomial, the product of (1 - qⁿ⁺ⁱ) / (1 - qⁱ) for i from 1 to
    m (Mann & Whitney 1947, Annals of Mathematical Statistics 18: 50, give the recurrence).
    """
    size = m * n // 2 + 1
    counts = [1] + [0] * (size - 1)
    for step in range(1, m + 1):
        for total in range(size - 1, n + step - 1, -1):
            counts[total] -= counts[total - n - step]
        for total in range(step, size):
            counts[total] += counts[total - step]
    return counts


def _welch(a: Sequence[float], b: Sequence[float], level: float, least: float) -> Interval:
    """Welch 1947, Biometrika 34: 28."""
    centre = statistics.fmean(a) - statistics.fmean(b)
    parts = [max(statistics.stdev(each), least) ** 2 / len(each) for each in (a, b)]
    error = math.sqrt(sum(parts))
    degrees = len(a) + len(b) - 2
    if error > 0:
        below = sum(
            (part / sum(parts)) ** 2 / (len(each) - 1)
            for part, each in zip(parts, (a, b), strict=True)
        )
        degrees = max(1, math.floor(1 / below + critical.ROUNDING))
    reach = critical.student_t(degrees, (1 + level) / 2) * error
    return _ratio(centre, centre - reach, centre + reach, level, min(len(a), len(b)))


def _ratio(centre: float, low: float, high: float, level: float, n: int) -> Interval:
    return Interval(math.exp(centre), math.exp(low), math.exp(high), level, n)


def _logs(values: Sequence[float]) -> list[float]:
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a quantity to take ratios of is above zero, not {value!r}")
    return [math.log(value) for value in values]
