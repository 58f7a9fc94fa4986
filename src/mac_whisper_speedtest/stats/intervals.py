"""Confidence intervals of medians and ratios, from one number per round.

A round is a fresh process and gives one number; samples inside a process are no replicates. The
number of rounds and the level alone choose the method, so that it cannot be picked by its result.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import quantiles, sums
from mac_whisper_speedtest.stats.quantiles import check_level

LEVEL = 0.95
"""Default confidence."""

MIN_ROUNDS = 3
"""With fewer, Student's t is useless: at two rounds it multiplies the spread by 13."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval around it.

    Attributes:
        estimate: in the unit of the values.
        low: the lower end; ``low <= estimate <= high``.
        high: the upper end.
        level: the requested confidence; the interval covers with this probability at least, if the
            method's assumptions hold.
        n: the number of rounds.
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
        """The interval of 1/x (RTFx is 1/RTF); both ends must be above zero."""
        return Interval(1 / self.estimate, 1 / self.high, 1 / self.low, self.level, self.n)


def of_median(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """The median of one number per round, with its exact distribution-free interval.

    The ends are two of the values: the outermost that the sign test does not reject
    (``quantiles.sign_test``). It assumes independent rounds and no distribution. Real coverage is
    above ``level``: at 95 % it is 97 % for 6 rounds, 99 % for 8, 96 % for 12, 97 % for 60.

    Args:
        values: one per round, above zero, in any order.
        level: the requested confidence.

    Returns:
        ``None`` if so few rounds cannot reach the level: below 6 at 95 %.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    check_level(level)
    ordered = sorted(positive(values))
    n = len(ordered)
    rank = quantiles.sign_test(n, level)
    if rank == 0:
        return None
    return Interval(statistics.median(ordered), ordered[rank - 1], ordered[-rank], level, n)


def of_ratio(
    a: Mapping[int, float],
    b: Mapping[int, float],
    level: float = LEVEL,
    *,
    min_spread: float = 0.0,
) -> Interval | None:
    """How many times as long ``a`` takes as ``b``, paired by round.

    What affected both in a round (heat, clock speed, other programs) cancels. ``of_center`` takes
    the logarithms of the ratios.

    Args:
        a: round → seconds, or RTF, above zero.
        b: the same for the other cell; rounds that only one cell has are ignored.
        level: the requested confidence.
        min_spread: see ``of_center``; of log ratios.

    Returns:
        ``None`` below three common rounds.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    return of_log_ratios(log_ratios(a, b), level, min_spread=min_spread)


def of_log_ratios(
    values: Sequence[float], level: float = LEVEL, *, min_spread: float = 0.0
) -> Interval | None:
    """:func:`of_ratio`, of what :func:`log_ratios` gave."""
    found = of_center(values, level, min_spread=min_spread)
    if found is None:
        return None
    return _ratio(found.estimate, found.low, found.high, level, found.n)


def log_ratios(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """log(a/b) of every round that both have, in the order of rounds.

    Raises:
        ValueError: for a value that is not finite and above zero.
    """
    positive([*a.values(), *b.values()])
    return [math.log(a[each]) - math.log(b[each]) for each in sorted(a.keys() & b.keys())]


def of_center(
    values: Sequence[float], level: float = LEVEL, *, min_spread: float = 0.0
) -> Interval | None:
    """The center of symmetrically distributed differences, as those of pairs are.

    If ``n`` values can reach the level by signs and ranks alone (6 at 95 %, 10 at 99.7 %): the
    estimate of Hodges and Lehmann and the interval that inverts Wilcoxon's signed-rank test, which
    outliers move little. With fewer values no distribution-free interval exists; they get the mean
    and Student's t, which assumes a normal distribution.

    Args:
        values: one per round, of any sign.
        level: the requested confidence.
        min_spread: lower limit of the standard deviation in Student's t, if other values show what
            is usual (see ``ranking.rank``).

    Returns:
        ``None`` below three values.

    Raises:
        ValueError: for a value that is not finite, or a level outside (0, 1).
    """
    check_level(level)
    ordered = sorted(values)
    for value in ordered:
        if not math.isfinite(value):
            raise ValueError(f"a difference must be finite, not {value!r}")
    n = len(ordered)
    if n < MIN_ROUNDS:
        return None
    rank = quantiles.signed_rank(n, level)
    if rank == 0:
        mean = statistics.fmean(ordered)
        half = (
            quantiles.student_t(n - 1, (1 + level) / 2)
            * max(deviation(ordered), min_spread)
            / math.sqrt(n)
        )
        return Interval(mean, mean - half, mean + half, level, n)
    walsh = sums.of_pairs(ordered)
    return Interval(sums.median(walsh) / 2, walsh[rank - 1] / 2, walsh[-rank] / 2, level, n)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of two values or more (``statistics.stdev`` is exact, and slow)."""
    mean = statistics.fmean(values)
    squares = math.fsum((each - mean) ** 2 for each in values)
    return math.sqrt(squares / (len(values) - 1))


def spread(ratio: Interval) -> float:
    """The spread of one round's log ratio, worked out from an interval of ``of_ratio``.

    The standard deviation if the interval is Student's; else the one with which Student's would be
    as wide: an interval's length measures the standard error of its estimate (Lehmann 1963, Annals
    of Mathematical Statistics 34: 1507), here robustly against outliers.
    """
    half = math.log(ratio.high / ratio.low) / 2
    return half * math.sqrt(ratio.n) / quantiles.student_t(ratio.n - 1, (1 + ratio.level) / 2)


def positive(values: Iterable[float]) -> list[float]:
    """The values as a list. Raises ValueError for one that is not finite and above zero."""
    found = list(values)
    for value in found:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"a measured value must be finite and above zero, not {value!r}")
    return found


# Ratios of two runs. They share no rounds, so nothing cancels as it does in ``of_ratio``.


def of_unpaired_ratio(
    a: Sequence[float],
    b: Sequence[float],
    level: float = LEVEL,
    *,
    min_spread: float = 0.0,
) -> Interval | None:
    """How many times as large ``a`` is as ``b``.

    The estimate of Hodges and Lehmann on the scale of logarithms, the median of all log(a/b), with
    the interval that inverts the test of Mann and Whitney (Hollander, Wolfe & Chicken,
    Nonparametric Statistical Methods, 3rd ed., sections 4.2 and 4.3; Bauer 1972, JASA 67: 687).
    It assumes that both samples have one shape, and is exact for any shape.

    If so few values cannot reach the level by ranks (3 against 3 at 95 %), it is the difference of
    means and Welch's t with Satterthwaite's degrees of freedom, rounded down.

    Args:
        a: one value per round, above zero.
        b: the same of the other run, of any length.
        level: the requested confidence.
        min_spread: lower limit of the standard deviation of logarithms in Welch's t, if other
            values show what is usual (see ``ranking.rank``).

    Returns:
        An interval whose ``n`` is the smaller number of values; ``None`` with fewer than three on a
        side.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    check_level(level)
    first, second = _logs(a), _logs(b)
    n = min(len(first), len(second))
    if n < MIN_ROUNDS:
        return None
    rank = quantiles.mann_whitney(len(first), len(second), level)
    if rank == 0:
        return _welch(first, second, level, min_spread)
    found = sums.of_two(first, [-each for each in second])
    return _ratio(sums.median(found), found[rank - 1], found[-rank], level, n)


def range_of_ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """The same from any number of values: from the smallest to the largest ratio.

    This is the widest interval that ranks give. Its level is 1 - 2 / (m + n choose m), which is 0
    for one value against one.

    Args:
        a: one value per round, above zero; one at least.
        b: the same of the other run.

    Raises:
        ValueError: for a value that is not finite and above zero, or none at all.
    """
    first, second = _logs(a), _logs(b)
    if not first or not second:
        raise ValueError("a ratio needs a value on either side")
    found = sums.of_two(first, [-each for each in second])
    arrangements = math.comb(len(first) + len(second), len(first))
    level = max(0.0, 1 - 2 / arrangements)
    return _ratio(sums.median(found), found[0], found[-1], level, min(len(first), len(second)))


def _welch(a: Sequence[float], b: Sequence[float], level: float, least: float) -> Interval:
    """Welch 1947, Biometrika 34: 28."""
    center = statistics.fmean(a) - statistics.fmean(b)
    parts = [max(deviation(each), least) ** 2 / len(each) for each in (a, b)]
    error = math.sqrt(sum(parts))
    degrees = len(a) + len(b) - 2
    if error > 0:
        below = sum(
            (part / sum(parts)) ** 2 / (len(each) - 1)
            for part, each in zip(parts, (a, b), strict=True)
        )
        degrees = max(1, math.floor(1 / below + quantiles.ROUNDING))
    reach = quantiles.student_t(degrees, (1 + level) / 2) * error
    return _ratio(center, center - reach, center + reach, level, min(len(a), len(b)))


def _ratio(center: float, low: float, high: float, level: float, n: int) -> Interval:
    return Interval(math.exp(center), math.exp(low), math.exp(high), level, n)


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in positive(values)]
