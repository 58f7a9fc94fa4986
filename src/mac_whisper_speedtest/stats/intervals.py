"""Intervals from rounds: where a median or a ratio lies, and how sure that is.

A round is a fresh process and gives one number; samples inside a process are no replicates. Every
method here is a function of the number of rounds and of the level alone, so that nobody, and no
program, picks the one whose answer is liked.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import critical

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
    critical.check_level(level)
    ordered = sorted(_positive(values))
    n = len(ordered)
    rank = critical.sign_test(n, level)
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
    of the ratios go into ``of_centre``.

    Args:
        a: round → seconds, or RTF, above zero.
        b: the same for the other cell; rounds that only one has are left out.
        level: the confidence wanted.
        least_spread: see ``of_centre``; of log ratios.

    Returns:
        ``None`` below three common rounds.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    found = of_centre(log_ratios(a, b), level, least_spread=least_spread)
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


def of_centre(
    values: Sequence[float], level: float = LEVEL, *, least_spread: float = 0.0
) -> Interval | None:
    """The centre of differences that lie symmetrically around it, as those of pairs do.

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
    critical.check_level(level)
    ordered = sorted(_finite(values))
    n = len(ordered)
    if n < MIN_ROUNDS:
        return None
    rank = critical.signed_rank(n, level)
    if rank == 0:
        mean = statistics.fmean(ordered)
        deviation = max(statistics.stdev(ordered), least_spread)
        half = critical.student_t(n - 1, (1 + level) / 2) * deviation / math.sqrt(n)
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
    return half * math.sqrt(ratio.n) / critical.student_t(ratio.n - 1, (1 + ratio.level) / 2)


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
