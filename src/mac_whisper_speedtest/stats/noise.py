"""How far identical cells differ on this machine, and what can therefore be seen on it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mac_whisper_speedtest.stats import critical, intervals, verdict
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.verdict import Verdict

DIFFERENCES = (0.01, 0.02, 0.05)
"""Differences, as fractions, for which the rounds needed are worked out."""

POWER = 0.9
"""Share of runs in which a difference is to be found."""

MOST_ROUNDS = 100_000
"""Where more rounds would be needed than anyone runs, the answer is that it cannot be seen."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What an A/A run says of a machine. Differences and spreads are fractions.

    Attributes:
        floor: what identical cells may differ by: the smallest margin at which this run says SAME.
        smallest_detectable: the difference that this many rounds find with a power of 0.9.
        rounds_for: difference → rounds that find it with a power of 0.9; ``None`` where no number
            does.
        rounds: how many rounds the two cells have in common.
        spread: what one round's log ratio varies by (``intervals.spread``).
        ratio: the one cell's time over the other's.
        verdict: what a comparison of the two says at a margin of 2 %.
    """

    floor: float
    smallest_detectable: float
    rounds_for: dict[float, int | None]
    rounds: int
    spread: float
    ratio: Interval
    verdict: Verdict

    @property
    def false_verdict(self) -> bool:
        """Whether two identical cells were told apart."""
        return self.verdict in verdict.OPPOSITE


def floor(
    a: Mapping[int, float], b: Mapping[int, float], level: float = intervals.LEVEL
) -> Floor | None:
    """The noise floor, from two identical cells that took part in the same rounds.

    The floor is the upper end of what |log ratio| may be: the farther end of the interval of the
    ratio of all rounds. It thus contains what a comparison of as many rounds is out by for chance,
    and whatever lies between the two cells for good. The spread of single rounds would be a worse
    floor: who came first in a round is part of it, but cancels out of a ratio over many.

    Args:
        a: round → seconds, or RTF, above zero.
        b: the same of the identical cell.
        level: the confidence that identical cells differ by no more.

    Returns:
        ``None`` below three common rounds.

    Raises:
        ValueError: for a value that is not finite and above zero, or a level outside (0, 1).
    """
    ratio = intervals.of_ratio(a, b, level)
    if ratio is None:
        return None
    spread = intervals.spread(ratio)
    return Floor(
        floor=math.expm1(max(-math.log(ratio.low), math.log(ratio.high), 0.0)),
        smallest_detectable=smallest_detectable(spread, ratio.n, level),
        rounds_for={each: rounds_needed(spread, each, level=level) for each in DIFFERENCES},
        rounds=ratio.n,
        spread=spread,
        ratio=ratio,
        verdict=verdict.of(ratio, verdict.MARGIN),
    )


def smallest_detectable(
    spread: float, rounds: int, level: float = intervals.LEVEL, power: float = POWER
) -> float:
    """The difference, as a fraction, whose interval leaves out "none" in ``power`` of all runs.

    (t(1 - α/2) + t(power)) · spread / √rounds with rounds - 1 degrees of freedom, on the scale of
    logarithms: the usual approximation to the noncentral t (Cohen, Statistical Power Analysis, 2nd
    ed., chapter 12; NIST/SEMATECH e-Handbook, section 7.2.2.2).

    Args:
        spread: standard deviation of one round's log ratio.
        rounds: common rounds of the two cells, two at least.
        level: of the interval.
        power: share of runs.

    Raises:
        ValueError: for a spread below zero, fewer than two rounds, or a share outside (0, 1).
    """
    critical.check_level(level)
    if not (math.isfinite(spread) and spread >= 0):
        raise ValueError(f"a spread is at least 0, not {spread!r}")
    if rounds < 2:
        raise ValueError(f"a spread shows in two rounds and more, not in {rounds!r}")
    return math.expm1(_reach(rounds, level, power) * spread)


def rounds_needed(
    spread: float,
    difference: float,
    margin: float = 0.0,
    level: float = intervals.LEVEL,
    power: float = POWER,
) -> int | None:
    """The fewest rounds after which a true ``difference`` is said to lie beyond ``margin``.

    Args:
        spread: standard deviation of one round's log ratio.
        difference: the true one, as a fraction.
        margin: as in ``verdict.of``; 0 asks only that the difference is told from none.
        level: of the interval.
        power: share of runs.

    Returns:
        ``None`` where no number of rounds does it: the difference is within the margin, or would
        take more than 100 000 rounds.

    Raises:
        ValueError: see ``smallest_detectable``.
    """
    beyond = math.log1p(difference) - math.log1p(margin)
    low, high = intervals.MIN_ROUNDS - 1, MOST_ROUNDS
    if beyond <= 0 or smallest_detectable(spread, high, level, power) > math.expm1(beyond):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _reach(middle, level, power) * spread <= beyond:
            high = middle
        else:
            low = middle
    return high


@functools.cache
def _reach(rounds: int, level: float, power: float) -> float:
    """Standard deviations of one round that so many rounds can see."""
    ends = critical.student_t(rounds - 1, (1 + level) / 2)
    return (ends + critical.student_t(rounds - 1, power)) / math.sqrt(rounds)
