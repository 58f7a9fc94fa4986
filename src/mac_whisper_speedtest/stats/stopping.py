"""When to stop measuring, by rules fixed beforehand that leave the intervals their coverage.

Looking at the data again and again until they please makes any interval lie (Armitage, McPherson &
Rowe 1969, J. Royal Statistical Society A 132: 235). Two things keep these rules honest: data are
looked at only after round counts that are known before the first round, and either the rule sees
nothing but widths (``precise``), or every look has its share of the error (``level_at``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Pair, Ranking, Verdict

# How far identical cells differ on this machine, and what can therefore be seen on it.


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
        return self.verdict in ranking.OPPOSITE


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
        verdict=ranking.verdict_of(ratio, ranking.MARGIN),
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
    intervals.check_level(level)
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
    ends = intervals.student_t(rounds - 1, (1 + level) / 2)
    return (ends + intervals.student_t(rounds - 1, power)) / math.sqrt(rounds)


MINIMUM = 6
"""Rounds before the first look: with fewer, a median has no interval at 95 %."""

MAXIMUM = 60
"""Rounds after which a run ends whatever has been reached, unless another maximum is asked for."""

PRECISION_GROWTH = 1.25
"""Each look of ``--ci-width`` comes after a quarter more rounds: at most that much is measured in
vain. Looks at widths cost no coverage (benchmarks/statistics.py)."""

BUDGET_GROWTH = 1.5
"""Looks of ``--budget`` each cost a share of the error, so there are fewer: 7 from 6 to 60."""


def looks(minimum: int, maximum: int, *, growth: float = PRECISION_GROWTH) -> tuple[int, ...]:
    """The numbers of rounds after which the data are looked at: a geometric row.

    Args:
        minimum: rounds at the first look.
        maximum: rounds at the last.
        growth: a look's rounds over those of the one before, above 1.

    Raises:
        ValueError: for a minimum below 1, a maximum below it, or a growth that does not grow.
    """
    if not 1 <= minimum <= maximum:
        raise ValueError(f"looks go from 1 round or more upwards, not from {minimum} to {maximum}")
    if not growth > 1:
        raise ValueError(f"looks grow by a factor above 1, not {growth!r}")
    found = [minimum]
    while found[-1] < maximum:
        found.append(min(max(round(found[-1] * growth), found[-1] + 1), maximum))
    return tuple(found)


def level_at(look: int, looks: Sequence[int], level: float = intervals.LEVEL) -> float:
    """The level at which intervals are taken at a look, so that all looks together keep ``level``.

    Every look spends the same share: 1 - (1 - level) / looks. By Bonferroni the intervals of all
    looks are right together with probability ``level``, whatever the rule made of them in between:
    which cells it went on with, and when it stopped. The intervals of the finished run are those of
    its last look and are taken at the same level; where time ran out between two looks, the end
    takes the place of the next one. (The spending of Lan & DeMets 1983, Biometrika 70: 659, with
    shares that need no normal distribution.)

    Args:
        look: which one, from 0.
        looks: all that are planned, taken or not.
        level: of the whole run.

    Raises:
        IndexError: for a look that is not planned.
        ValueError: for a level outside (0, 1).
    """
    intervals.check_level(level)
    if not 0 <= look < len(looks):
        raise IndexError(f"look {look} of {len(looks)}")
    return 1 - (1 - level) / len(looks)


@dataclass(frozen=True, slots=True)
class Precise:
    """How near a run is to the precision asked for.

    Attributes:
        reached: whether every interval is narrow enough.
        widest: the full relative width of the widest interval; ``None`` where one is not known yet.
        name: whose interval that is; ``None`` where there are none.
    """

    reached: bool
    widest: float | None
    name: str | None


def precise(widths: Mapping[str, Interval | None], precision: float) -> Precise:
    """Whether every interval is as narrow as was asked for: the rule of ``--ci-width``.

    It sees widths and never where an interval lies, so it cannot stop because it likes a verdict;
    rules of this kind keep their coverage in the limit (Chow & Robbins 1965, Annals of Mathematical
    Statistics 36: 457), and benchmarks/statistics.py shows that from 6 rounds on these do. The
    intervals are therefore those of any other run, at the same level, at every look and at the end.

    Args:
        widths: name → interval: of every cell's RTFx, and of every cell's ratio to the best of its
            group at the ranking's simultaneous level (``Ranking.against_best``).
        precision: the full width over the estimate that each may have, as a fraction.

    Raises:
        ValueError: for a precision that is not above zero.
    """
    if not precision > 0:
        raise ValueError(f"a precision is above zero, not {precision!r}")
    known: dict[str, float] = {}
    for name, interval in widths.items():
        if interval is None:
            return Precise(reached=False, widest=None, name=name)
        known[name] = interval.relative_width
    if not known:
        return Precise(reached=True, widest=None, name=None)
    widest = max(known, key=lambda each: known[each])
    return Precise(reached=known[widest] <= precision, widest=known[widest], name=widest)


def unsettled(
    *rankings: Ranking,
    round_s: Mapping[str, float] | None = None,
    left_s: float = math.inf,
) -> frozenset[str]:
    """The cells that the next rounds should visit: the rule of ``--budget``.

    A pair is settled when it has a verdict other than AMBIGUOUS; a cell whose pairs are all settled
    is left out. Where the time left will not settle all that is open, the pairs that take the least
    are taken first, the cheapest in any case. What a pair takes is reckoned from its spread and
    from how far its estimate lies from the nearer edge of the margin.

    Args:
        rankings: one of each group, at the level of ``level_at``.
        round_s: cell → seconds that one round of it takes, its process' start included. Without it,
            all cells of open pairs are visited.
        left_s: seconds left of the budget.

    Returns:
        Nothing when everything is settled.
    """
    missing = {
        (pair.a, pair.b): _missing(pair, ranking.margin)
        for ranking in rankings
        for pair in ranking.pairs
        if pair.verdict is Verdict.AMBIGUOUS
    }
    if round_s is None:
        return frozenset(name for pair in missing for name in pair)
    cost = {pair: missing[pair] * sum(round_s[name] for name in pair) for pair in missing}
    rounds: dict[str, int] = {}
    for pair in sorted(cost, key=lambda each: cost[each]):
        wanted = rounds | {name: max(rounds.get(name, 0), missing[pair]) for name in pair}
        seconds = sum(count * round_s[name] for name, count in wanted.items())
        if not rounds or seconds <= left_s:
            rounds = wanted
    return frozenset(rounds)


def _missing(pair: Pair, margin: float) -> int:
    """How many more rounds an open pair probably takes."""
    if pair.ratio is None:
        return intervals.MIN_ROUNDS
    away = abs(abs(math.log(pair.ratio.estimate)) - math.log1p(margin))
    needed = rounds_needed(
        intervals.spread(pair.ratio), math.expm1(away), level=pair.ratio.level, power=0.5
    )
    return MOST_ROUNDS if needed is None else max(needed - pair.ratio.n, 1)
