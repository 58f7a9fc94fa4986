"""When to stop measuring, by rules fixed beforehand that leave the intervals their coverage.

Looking at the data again and again until they please makes any interval lie (Armitage, McPherson &
Rowe 1969, J. Royal Statistical Society A 132: 235). Two things keep these rules honest: data are
looked at only after round counts that are known before the first round, and either the rule sees
nothing but widths (``precise``), or every look has its share of the error (``level_at``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import critical, intervals, noise
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Pair, Ranking
from mac_whisper_speedtest.stats.verdict import Verdict

MINIMUM = 6
"""Rounds before the first look: with fewer, a median has no interval at 95 %."""

MAXIMUM = 60
"""Rounds after which a run ends whatever has been reached, unless another maximum is asked for."""

PRECISION_GROWTH = 1.25
"""Each look of ``--precision`` comes after a quarter more rounds: at most that much is measured in
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
    critical.check_level(level)
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
    """Whether every interval is as narrow as was asked for: the rule of ``--precision``.

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
    needed = noise.rounds_needed(
        intervals.spread(pair.ratio), math.expm1(away), level=pair.ratio.level, power=0.5
    )
    return noise.MOST_ROUNDS if needed is None else max(needed - pair.ratio.n, 1)
