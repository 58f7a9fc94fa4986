"""Decides when to stop measuring, by rules fixed in advance that keep the intervals' coverage.

Looking at the data until they please destroys the coverage of any interval (Armitage, McPherson &
Rowe 1969, J. Royal Statistical Society A 132: 235). Two things prevent that: interim looks happen
only after round counts that are known before the first round, and either the rule sees only widths
(``check_widths``), or every look has its share of the error (``level_at``). The module also works
out the machine's noise floor and the differences that it lets a run detect.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import intervals, quantiles, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Pair, Ranking, Verdict

DIFFERENCES = (0.01, 0.02, 0.05)
"""Differences, as fractions, for which the needed rounds are worked out."""

POWER = 0.9
"""Share of runs in which a difference should be found."""

ROUNDS_LIMIT = 100_000
"""A difference that needs more rounds counts as undetectable."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The result of an A/A run on a machine. Differences and spreads are fractions.

    Attributes:
        floor: by how much identical cells may differ: the smallest margin at which this run's
            verdict is SAME.
        smallest_detectable: the difference that this many rounds find with a power of 0.9.
        rounds_for: difference → rounds that find it with a power of 0.9; ``None`` if no number
            does.
        rounds: number of rounds that the two cells have in common.
        spread: spread of one round's log ratio (``intervals.spread``).
        ratio: one cell's time / the other's.
        verdict: of the two at a margin of 2 %.
    """

    floor: float
    smallest_detectable: float
    rounds_for: dict[float, int | None]
    rounds: int
    spread: float
    ratio: Interval
    verdict: Verdict


def noise_floor(a: Mapping[int, float], b: Mapping[int, float]) -> NoiseFloor | None:
    """The noise floor, from two identical cells that took part in the same rounds.

    The floor is the largest |log ratio| in the interval of the ratio of all rounds. It thus
    contains the random error of a comparison of as many rounds and any constant difference of the
    two cells. The spread of single rounds would be a worse floor: it includes the order of cells in
    a round, which cancels out of a ratio over many.

    Args:
        a: round → seconds, or RTF, above zero.
        b: the same of the identical cell.

    Returns:
        ``None`` below three common rounds.

    Raises:
        ValueError: for a value that is not finite and above zero.
    """
    ratio = intervals.of_ratio(a, b)
    if ratio is None:
        return None
    spread = intervals.spread(ratio)
    return NoiseFloor(
        floor=math.expm1(max(-math.log(ratio.low), math.log(ratio.high), 0.0)),
        smallest_detectable=smallest_detectable(spread, ratio.n),
        rounds_for={each: rounds_needed(spread, each) for each in DIFFERENCES},
        rounds=ratio.n,
        spread=spread,
        ratio=ratio,
        verdict=ranking.verdict_of(ratio, ranking.MARGIN),
    )


def smallest_detectable(
    spread: float, rounds: int, level: float = intervals.LEVEL, power: float = POWER
) -> float:
    """The difference, as a fraction, whose interval excludes zero in ``power`` of all runs.

    With t = t(1 - α/2) and z = z(power), on the scale of logarithms and with ν = rounds - 1:
    (t · (1 - 1/4ν) + z · √(1 + t²/2ν)) · spread / √rounds, the normal approximation to the
    noncentral t (Abramowitz & Stegun, 26.7.10). It counts that the spread, too, is only estimated;
    t(1 - α/2) + t(power) (Cohen, Statistical Power Analysis, 2nd ed., chapter 12) finds less than
    it says where α is small: the share of 15 pairs was found in 75 % of simulated runs.

    Args:
        spread: standard deviation of one round's log ratio.
        rounds: common rounds of the two cells, two at least.
        level: of the interval.
        power: share of runs.

    Raises:
        ValueError: for a spread below zero, fewer than two rounds, or a share outside (0, 1).
    """
    quantiles.check_level(level)
    if not (math.isfinite(spread) and spread >= 0):
        raise ValueError(f"a spread must be at least 0, not {spread!r}")
    if rounds < 2:
        raise ValueError(f"a spread needs two rounds or more, not {rounds!r}")
    return math.expm1(_detectable(rounds, level, power) * spread)


def rounds_needed(
    spread: float,
    difference: float,
    margin: float = 0.0,
    level: float = intervals.LEVEL,
    power: float = POWER,
) -> int | None:
    """The fewest rounds after which a true ``difference`` is found to exceed ``margin``.

    Args:
        spread: standard deviation of one round's log ratio.
        difference: the true one, as a fraction.
        margin: as in ``ranking.verdict_of``; 0 requires only a difference from zero.
        level: of the interval.
        power: share of runs.

    Returns:
        ``None`` if no number of rounds suffices: the difference is within the margin, or needs more
        than ``ROUNDS_LIMIT``.

    Raises:
        ValueError: see ``smallest_detectable``.
    """
    beyond = math.log1p(difference) - math.log1p(margin)
    low, high = intervals.MIN_ROUNDS - 1, ROUNDS_LIMIT
    if beyond <= 0 or smallest_detectable(spread, high, level, power) > math.expm1(beyond):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _detectable(middle, level, power) * spread <= beyond:
            high = middle
        else:
            low = middle
    return high


@functools.cache
def _detectable(rounds: int, level: float, power: float) -> float:
    """The difference that ``rounds`` can detect, in standard deviations of one round."""
    degrees, z = rounds - 1, statistics.NormalDist().inv_cdf(power)
    ends = quantiles.student_t(degrees, (1 + level) / 2)
    reach = ends * (1 - 1 / (4 * degrees)) + z * math.sqrt(1 + ends**2 / (2 * degrees))
    return reach / math.sqrt(rounds)


WIDTH_GROWTH = 1.25
"""Each look of ``--ci-width`` comes after a quarter more rounds, which is the most that a run can
measure in excess. Looks at widths cost no coverage (benchmarks/statistics.py)."""

BUDGET_GROWTH = 1.5
"""Looks of ``--budget`` each cost a share of the error, so there are fewer: 7 from 6 to 60."""


def looks(minimum: int, maximum: int, *, growth: float = WIDTH_GROWTH) -> tuple[int, ...]:
    """The round counts of the interim looks: a geometric series.

    Args:
        minimum: rounds at the first look.
        maximum: rounds at the last.
        growth: a look's rounds / the previous look's, above 1.

    Raises:
        ValueError: for a minimum below 1, a maximum below it, or a growth that does not grow.
    """
    if not 1 <= minimum <= maximum:
        raise ValueError(f"looks must go upwards from 1 or more, not from {minimum} to {maximum}")
    if not growth > 1:
        raise ValueError(f"looks must grow by a factor above 1, not {growth!r}")
    found = [minimum]
    while found[-1] < maximum:
        found.append(min(max(round(found[-1] * growth), found[-1] + 1), maximum))
    return tuple(found)


def level_at(look: int, looks: Sequence[int], level: float = intervals.LEVEL) -> float:
    """The level of intervals at one look, so that all looks together keep ``level``.

    Every look spends the same share: 1 - (1 - level) / looks. By Bonferroni the intervals of all
    looks are right together with probability ``level``, for any cells that the rule continued with
    and any time of stopping. The finished run uses the intervals of its last look, at the same
    level; if time ran out between two looks, the end replaces the next one. (The spending of Lan &
    DeMets 1983, Biometrika 70: 659, with shares that need no normal distribution.)

    Args:
        look: index of the look.
        looks: all planned looks, reached or not.
        level: of the whole run.

    Raises:
        IndexError: for a look that is not planned.
        ValueError: for a level outside (0, 1).
    """
    quantiles.check_level(level)
    if not 0 <= look < len(looks):
        raise IndexError(f"look {look} of {len(looks)}")
    return 1 - (1 - level) / len(looks)


@dataclass(frozen=True, slots=True)
class WidthCheck:
    """How close a run is to the requested interval width.

    Attributes:
        reached: whether every interval is narrow enough.
        widest: the full relative width of the widest interval; ``None`` if one is still unknown.
        name: of the widest interval, or of the first unknown one; ``None`` without intervals.
    """

    reached: bool
    widest: float | None
    name: str | None


def check_widths(widths: Mapping[str, Interval | None], target_width: float) -> WidthCheck:
    """Whether every interval is as narrow as requested: the rule of ``--ci-width``.

    It sees the widths of intervals, never their position, so no verdict can stop it; rules of this
    kind keep their coverage in the limit (Chow & Robbins 1965, Annals of Mathematical Statistics
    36: 457), and benchmarks/statistics.py shows that these do from 6 rounds on. The intervals
    therefore have the same level as in any other run, at every look and at the end.

    Args:
        widths: name → interval: of every cell's RTFx, and of every cell's ratio to the best of its
            group at the ranking's simultaneous level (``Ranking.against_best``).
        target_width: largest full width / estimate of each, as a fraction.

    Raises:
        ValueError: for a target width that is not above zero.
    """
    if not target_width > 0:
        raise ValueError(f"a target width must be above zero, not {target_width!r}")
    known: dict[str, float] = {}
    for name, interval in widths.items():
        if interval is None:
            return WidthCheck(reached=False, widest=None, name=name)
        known[name] = interval.relative_width
    if not known:
        return WidthCheck(reached=True, widest=None, name=None)
    widest = max(known, key=lambda each: known[each])
    return WidthCheck(reached=known[widest] <= target_width, widest=known[widest], name=widest)


def undecided_cells(
    *rankings: Ranking,
    round_s: Mapping[str, float],
    left_s: float,
    left_rounds: int | None = None,
) -> frozenset[str]:
    """The cells that the next rounds should visit: the rule of a run, and of ``--budget``.

    A pair is decided if its verdict is not AMBIGUOUS; a cell whose pairs are all decided is left
    out. If the remaining time cannot decide all open pairs, the cheapest ones are chosen first. The
    cost of a pair follows from its spread and from the distance of its estimate to the nearer edge
    of the margin.

    Args:
        rankings: one of each group, at the level of ``level_at``.
        round_s: cell → seconds of one of its rounds, including the start of its process. A pair is
            left out if one of its cells is not here.
        left_s: seconds left of the budget.
        left_rounds: rounds that may still follow; a pair that needs more rounds, or more time than
            is left, is left out. Without it, the cheapest pair is chosen at any cost.

    Returns:
        Cell ids; empty if no pair is chosen.
    """
    missing = {
        (pair.a, pair.b): _rounds_missing(pair, ranking.margin)
        for ranking in rankings
        for pair in ranking.pairs
        if pair.verdict is Verdict.AMBIGUOUS and {pair.a, pair.b} <= round_s.keys()
    }
    cost = {pair: missing[pair] * sum(round_s[name] for name in pair) for pair in missing}
    rounds: dict[str, int] = {}
    for pair in sorted(cost, key=lambda each: cost[each]):
        if left_rounds is not None and missing[pair] > left_rounds:
            continue
        extended = rounds | {name: max(rounds.get(name, 0), missing[pair]) for name in pair}
        seconds = sum(count * round_s[name] for name, count in extended.items())
        if seconds <= left_s or (left_rounds is None and not rounds):
            rounds = extended
    return frozenset(rounds)


def detectable(compared: Ranking, cell: str) -> float | None:
    """The difference from another cell, as a fraction, that as many rounds would have found.

    One of that size gets FASTER or SLOWER in ``POWER`` of all runs. It is the median over the cells
    without a verdict against this one, or over all if there is none: spreads of few rounds vary
    by chance, and a noisy cell must not represent the others.

    Returns:
        ``None`` if too few rounds compare the cell with another.
    """
    found = [pair for pair in compared.pairs if cell in {pair.a, pair.b}]
    tied = [pair.ratio for pair in found if pair.verdict not in ranking.OPPOSITE]
    smallest = [
        smallest_detectable(intervals.spread(ratio), ratio.n, ratio.level)
        for ratio in tied or [pair.ratio for pair in found]
        if ratio is not None
    ]
    if not smallest:
        return None
    return (1 + statistics.median_high(smallest)) * (1 + compared.margin) - 1


def _rounds_missing(pair: Pair, margin: float) -> int:
    """How many more rounds an open pair probably needs."""
    if pair.ratio is None:
        return intervals.MIN_ROUNDS
    away = abs(abs(math.log(pair.ratio.estimate)) - math.log1p(margin))
    needed = rounds_needed(
        intervals.spread(pair.ratio), math.expm1(away), level=pair.ratio.level, power=0.5
    )
    return ROUNDS_LIMIT if needed is None else max(needed - pair.ratio.n, 1)
