"""Verdicts on pairs of cells, and ranks with ties from all pairs at once."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.stats import intervals, quantiles
from mac_whisper_speedtest.stats.intervals import Interval

MARGIN = 0.02
"""Smallest difference that matters in practice, as a fraction: closer cells count as the same."""


class Verdict(Word):
    """On the interval of a ratio of times, and the margin: the difference that counts.

    nvbench's terms, with SAME for cells shown to be equal.
    """

    FASTER = "FASTER", "the whole interval is below 1 ÷ (1 + margin)"
    SLOWER = "SLOWER", "the whole interval is above 1 + margin"
    SAME = "SAME", "the whole interval is within the margin: shown to be equal"
    AMBIGUOUS = "AMBIGUOUS", "none of these: more rounds would tell"


OPPOSITE = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
"""The verdict on the other cell of a pair; the other two verdicts hold for both."""


def margin(noise_floor: float | None) -> float:
    """The difference that counts, as a fraction: the larger of 2 % and the machine's noise floor.

    Args:
        noise_floor: by how much identical cells may differ on this machine, as a fraction
            (``stopping.NoiseFloor.floor``); ``None`` if never measured.

    Raises:
        ValueError: for a floor below zero or not finite.
    """
    return MARGIN if noise_floor is None else max(MARGIN, _fraction(noise_floor))


def verdict_of(ratio: Interval | None, margin: float) -> Verdict:
    """The verdict on a cell that follows from an interval.

    SAME is the result of an equivalence test: the whole interval is within the margin (two
    one-sided tests: Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15: 657). An interval
    that merely contains 1 is AMBIGUOUS.

    Args:
        ratio: time of the judged cell / time of the other one; ``None`` if unknown.
        margin: the difference, as a fraction, below which two cells count as the same.

    Raises:
        ValueError: for a margin below zero or not finite.
    """
    above = 1 + _fraction(margin)
    if ratio is None:
        return Verdict.AMBIGUOUS
    if ratio.low > above:
        return Verdict.SLOWER
    if ratio.high < 1 / above:
        return Verdict.FASTER
    return Verdict.SAME if 1 / above <= ratio.low and ratio.high <= above else Verdict.AMBIGUOUS


def _fraction(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"a margin must be a fraction of at least 0, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class RankRange:
    """The ranks that a cell may have: from ``first`` to ``last``; 1 is the fastest."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two cells compared.

    Attributes:
        a: the judged cell.
        b: the other one.
        ratio: time of ``a`` / time of ``b``, at the simultaneous level; ``None`` below three common
            rounds.
        verdict: the verdict on ``a``.
    """

    a: str
    b: str
    ratio: Interval | None
    verdict: Verdict

    def swapped(self) -> Pair:
        """The pair with ``b`` as the judged cell."""
        ratio = None if self.ratio is None else self.ratio.inverse()
        return Pair(self.b, self.a, ratio, OPPOSITE.get(self.verdict, self.verdict))


@dataclass(frozen=True, slots=True)
class Ranking:
    """The order of some cells, where the rounds determine it.

    Attributes:
        ranks: the possible ranks of each cell, but of those that too few rounds compare with any.
        pairs: every pair once, in the order in which the cells were given.
        best: the cell with the smallest median, the first of equals; ``None`` without any round.
        against_best: every other cell, judged against it.
        margin: the difference below which cells count as the same.
        level: the confidence with which all intervals in ``pairs`` hold together.
    """

    ranks: dict[str, RankRange]
    pairs: list[Pair]
    best: str | None
    against_best: dict[str, Pair]
    margin: float
    level: float


def against(pairs: Iterable[Pair], other: str | None) -> dict[str, Pair]:
    """Every cell that was compared with ``other``, judged against it."""
    found = [each.swapped() if each.a == other else each for each in pairs]
    return {each.a: each for each in found if each.b == other}


def rank(
    rtf: Mapping[str, Mapping[int, float]], *, margin: float, level: float = intervals.LEVEL
) -> Ranking:
    """Compare all pairs, so that with confidence ``level`` every interval is right at once.

    Each pair's interval has the level 1 - (1 - level) / pairs (Bonferroni), which holds however the
    pairs depend on each other. Without it, one of the 15 pairs of six equal cells would be reported
    as different in up to half of all runs.

    In few rounds the spread of two cells may be small by chance: processes that come in two speeds
    often show only one of them in three rounds. So if a pair's interval is Student's
    (``intervals.of_center``), its spread is at least the usual one of all pairs, their median.
    Without that, six equal cells of two speeds were reported as different in 11 to 23 % of
    simulated runs of 3 rounds.

    Args:
        rtf: cell → round → RTF, or seconds of the same audio; above zero. Rounds may be missing.
        margin: see ``ranking.verdict_of``.
        level: of all intervals together.

    Raises:
        ValueError: for a value that is not finite and above zero, a level outside (0, 1), or a
            margin below zero.
    """
    quantiles.check_level(level)
    names = list(rtf)
    couples = list(itertools.combinations(names, 2))
    logs = [intervals.log_ratios(rtf[a], rtf[b]) for a, b in couples]
    spreads = [intervals.deviation(each) for each in logs if len(each) >= intervals.MIN_ROUNDS]
    usual = statistics.median(spreads) if spreads else 0.0
    pairs = []
    for (a, b), each in zip(couples, logs, strict=True):
        each_level = 1 - (1 - level) / len(couples)
        ratio = intervals.of_log_ratios(each, each_level, min_spread=usual)
        pairs.append(Pair(a, b, ratio, verdict_of(ratio, margin)))
    first = dict.fromkeys(names, 1)
    last = dict.fromkeys(names, len(names))
    for pair in pairs:
        if pair.verdict in OPPOSITE:
            faster = pair.verdict is Verdict.FASTER
            winner, loser = (pair.a, pair.b) if faster else (pair.b, pair.a)
            first[loser] += 1
            last[winner] -= 1
    compared = {name for pair in pairs if pair.ratio is not None for name in (pair.a, pair.b)}
    known = compared or (set(names) if len(names) == 1 else set())
    medians = {name: statistics.median(each.values()) for name, each in rtf.items() if each}
    best = min(medians, key=lambda name: medians[name], default=None)
    return Ranking(
        ranks={name: RankRange(first[name], last[name]) for name in names if name in known},
        pairs=pairs,
        best=best,
        against_best=against(pairs, best),
        margin=margin,
        level=level,
    )
