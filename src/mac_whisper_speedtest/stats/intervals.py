"""Intervals from rounds: where a median or a ratio lies, and how sure that is.

A round is a fresh process and gives one number; samples inside a process are no replicates. Every
method here is a function of the number of rounds and of the level alone, so that nobody, and no
program, picks the one whose answer is liked.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Critical values: how far an interval must reach so that it covers as often as it says.
#
# Pure functions of a sample size and a level, without data: which values of a test are still
# likely.


ROUNDING = 1e-12
"""1 - 0.95 is not quite 0.05 in floating point; a probability this much above counts as equal."""

SIGNED_RANK_EXACT_UP_TO = 150
"""Rounds up to which the signed-rank distribution is counted out; the count grows with n³. Above,
the normal approximation is right to the fourth digit (Hollander, Wolfe & Chicken, section 3.1)."""

SERIES_FROM = 60
"""Degrees of freedom from which the series in 1/ν of Student's t replaces the exact sum. Its error
there is below 2e-5 up to a probability of 0.9999."""


def check_level(level: float) -> None:
    """Refuse what is not a probability strictly between 0 and 1.

    Raises:
        ValueError: with the value seen.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level!r}")


@functools.cache
def sign_test(n: int, level: float) -> int:
    """How far from either end of ``n`` sorted values the interval of a median may begin.

    Returns:
        The largest k for which the k-th smallest and the k-th largest value enclose the median with
        probability ``level`` at least, whatever the distribution; 0 where ``n`` is too small.
        P(fewer than k of n values below the median) is binomial with 1/2 (Conover, Practical
        Nonparametric Statistics, 3rd ed., section 3.2; David & Nagaraja, Order Statistics, 7.1).
    """
    tail = rank = 0
    while rank < n // 2:
        tail += math.comb(n, rank)
        if 2 * tail / 2**n > 1 - level + ROUNDING:
            break
        rank += 1
    return rank


@functools.cache
def signed_rank(n: int, level: float) -> int:
    """How far from either end of the n(n+1)/2 sorted Walsh averages the interval may begin.

    Returns:
        The largest k for which the k-th smallest and the k-th largest Walsh average enclose the
        center of symmetry with probability ``level`` at least; 0 where ``n`` is too small. This
        inverts Wilcoxon's signed-rank test (Hollander, Wolfe & Chicken, Nonparametric Statistical
        Methods, 3rd ed., section 3.3).
    """
    half = (1 - level) / 2 + ROUNDING
    if n > SIGNED_RANK_EXACT_UP_TO:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        rank = n * (n + 1) / 4 - 0.5 + statistics.NormalDist().inv_cdf(half) * spread
        return max(math.floor(rank), 0)
    tail = 0
    for rank, count in enumerate(_rank_sums(n)):
        tail += count
        if tail / 2**n > half:
            return rank
    return 0


@functools.cache
def _rank_sums(n: int) -> list[int]:
    """How many of the 2ⁿ sign patterns give each rank sum, up to the middle of the distribution."""
    size = n * (n + 1) // 4 + 1
    counts = [1] + [0] * (size - 1)
    for rank in range(1, n + 1):
        for total in range(size - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    return counts


@functools.cache
def student_t(degrees: int, probability: float) -> float:
    """The ``probability`` quantile of Student's t with a whole number of degrees of freedom.

    The distribution function is a finite sum for whole degrees (Abramowitz & Stegun, Handbook of
    Mathematical Functions, 26.7.3 and 26.7.4), which is bisected in the angle θ = arctan(t/√ν).
    From ``SERIES_FROM`` on it is their series 26.7.5 in 1/ν.

    Raises:
        ValueError: without a degree of freedom, or a probability outside (0, 1).
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs a degree of freedom, not {degrees!r}")
    if not 0 < probability < 1:
        raise ValueError(f"a probability lies between 0 and 1, not at {probability!r}")
    if probability < 0.5:
        return -student_t(degrees, 1 - probability)
    if degrees >= SERIES_FROM:
        z = statistics.NormalDist().inv_cdf(probability)
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / degrees + second / degrees**2 + third / degrees**3
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        if _within(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(middle)


def _within(angle: float, degrees: int) -> float:
    """The probability that T lies within ± √ν tan ``angle``."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for step in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * step / (step + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


LEVEL = 0.95
"""Confidence where nothing else is asked for."""

MIN_ROUNDS = 3
"""With fewer, Student's t says next to nothing: at two rounds it multiplies the spread by 13."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval around it.

    Attributes:
        estimate: the value itself, in the unit of what was put in.
        low: the lower end; ``low <= estimate <= high``.
        high: the upper end.
        level: the confidence asked for; the interval covers with this probability at least, where
            the method's assumptions hold.
        n: how many rounds it rests on.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int

    @property
    def relative_width(self) -> float:
        """The full width as a fraction of the estimate."""
        width = self.high - self.low
        if width == 0:
            return 0.0
        return width / abs(self.estimate) if self.estimate else math.inf

    def inverse(self) -> Interval:
        """The same of 1/x, as RTFx is of RTF; both ends must be above zero."""
        return Interval(1 / self.estimate, 1 / self.high, 1 / self.low, self.level, self.n)


def of_median(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The median of one number per round, with its exact distribution-free interval.

    The ends are two of the values themselves: those that the sign test does not reject
    (``critical.sign_test``). Nothing is assumed of the distribution, only that rounds are
    independent. Real coverage lies above ``level``: at 95 % it is 97 % for 6 rounds, 99 % for 8,
    96 % for 12, 97 % for 60.

    Args:
        values: one per round, above zero, in any order.
        level: the confidence wanted.

    Returns:
        ``None`` where so few rounds cannot reach the level: below 6 at 95 %.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    check_level(level)
    ordered = sorted(_positive(values))
    n = len(ordered)
    rank = sign_test(n, level)
    if rank == 0:
        return None
    return Interval(statistics.median(ordered), ordered[rank - 1], ordered[-rank], level, n)


def of_ratio(
    a: Mapping[int, float],
    b: Mapping[int, float],
    level: float = LEVEL,
    *,
    least_spread: float = 0.0,
) -> Interval | None:
    """How many times as long ``a`` takes as ``b``, paired by round.

    What both had in common in a round (heat, clock speed, other programs) cancels. The logarithms
    of the ratios go into ``of_center``.

    Args:
        a: round → seconds, or RTF, above zero.
        b: the same for the other cell; rounds that only one has are left out.
        level: the confidence wanted.
        least_spread: see ``of_center``; of log ratios.

    Returns:
        ``None`` below three common rounds.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    found = of_center(log_ratios(a, b), level, least_spread=least_spread)
    if found is None:
        return None
    ends = (math.exp(found.estimate), math.exp(found.low), math.exp(found.high))
    return Interval(*ends, level, found.n)


def log_ratios(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """log(a/b) of every round that both have, in the order of rounds.

    Raises:
        ValueError: for a value that is not finite and above zero.
    """
    _positive([*a.values(), *b.values()])
    return [math.log(a[each]) - math.log(b[each]) for each in sorted(a.keys() & b.keys())]


def of_center(
    values: Sequence[float], level: float = LEVEL, *, least_spread: float = 0.0
) -> Interval | None:
    """The center of differences that lie symmetrically around it, as those of pairs do.

    Where ``n`` values can reach the level by signs and ranks alone (6 at 95 %, 10 at 99.7 %): the
    estimate of Hodges and Lehmann and the interval that inverts Wilcoxon's signed-rank test, which
    outliers move little. With fewer, no distribution-free interval exists, and it is the mean and
    Student's t, which assumes a normal distribution.

    Args:
        values: one per round, of any sign.
        level: the confidence wanted.
        least_spread: the standard deviation that Student's t takes at least, where more than these
            few values is known of it (see ``ranking.rank``).

    Returns:
        ``None`` below three values.

    Raises:
        ValueError: for a value that is not finite, or a level outside (0, 1).
    """
    check_level(level)
    ordered = sorted(_finite(values))
    n = len(ordered)
    if n < MIN_ROUNDS:
        return None
    rank = signed_rank(n, level)
    if rank == 0:
        mean = statistics.fmean(ordered)
        deviation = max(statistics.stdev(ordered), least_spread)
        half = student_t(n - 1, (1 + level) / 2) * deviation / math.sqrt(n)
        return Interval(mean, mean - half, mean + half, level, n)
    walsh = sorted(x + y for i, x in enumerate(ordered) for y in ordered[i:])
    return Interval(statistics.median(walsh) / 2, walsh[rank - 1] / 2, walsh[-rank] / 2, level, n)


def spread(ratio: Interval) -> float:
    """What one round's log ratio varies by, as the interval of ``of_ratio`` tells it.

    The standard deviation where the interval is Student's; else the one with which Student's would
    be as wide: an interval's length measures the standard error of its estimate (Lehmann 1963,
    Annals of Mathematical Statistics 34: 1507), here without being carried away by an outlier.
    """
    half = math.log(ratio.high / ratio.low) / 2
    return half * math.sqrt(ratio.n) / student_t(ratio.n - 1, (1 + ratio.level) / 2)


def _finite(values: Iterable[float]) -> Sequence[float]:
    found = list(values)
    for value in found:
        if not math.isfinite(value):
            raise ValueError(f"not a number that can be measured: {value!r}")
    return found


def _positive(values: Iterable[float]) -> Sequence[float]:
    found = _finite(values)
    for value in found:
        if value <= 0:
            raise ValueError(f"a time is above zero, not {value!r}")
    return found


# The ratio of two cells that were measured at different times: two samples without pairs.
#
# In one run cells share rounds, and what a round did to both cancels (``intervals.of_ratio``). Two
# runs share none: all that one run's machine did to it is in the difference.


MANN_WHITNEY_EXACT_UP_TO = 10_000
"""Pairs of values up to which the null distribution of Mann and Whitney's U is counted out. Above,
the normal approximation with a correction for continuity is right to the third digit."""


def of_unpaired_ratio(
    a: Sequence[float],
    b: Sequence[float],
    level: float = LEVEL,
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
    check_level(level)
    first, second = _logs(a), _logs(b)
    n = min(len(first), len(second))
    if n < MIN_ROUNDS:
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
    half = (1 - level) / 2 + ROUNDING
    if m * n > MANN_WHITNEY_EXACT_UP_TO:
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
    center = statistics.fmean(a) - statistics.fmean(b)
    parts = [max(statistics.stdev(each), least) ** 2 / len(each) for each in (a, b)]
    error = math.sqrt(sum(parts))
    degrees = len(a) + len(b) - 2
    if error > 0:
        below = sum(
            (part / sum(parts)) ** 2 / (len(each) - 1)
            for part, each in zip(parts, (a, b), strict=True)
        )
        degrees = max(1, math.floor(1 / below + ROUNDING))
    reach = student_t(degrees, (1 + level) / 2) * error
    return _ratio(center, center - reach, center + reach, level, min(len(a), len(b)))


def _ratio(center: float, low: float, high: float, level: float, n: int) -> Interval:
    return Interval(math.exp(center), math.exp(low), math.exp(high), level, n)


def _logs(values: Sequence[float]) -> list[float]:
    for value in values:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a quantity to take ratios of is above zero, not {value!r}")
    return [math.log(value) for value in values]
