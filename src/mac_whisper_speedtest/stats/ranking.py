"""Who is certainly faster than whom: ranks with ties, from all pairs at once."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.stats.intervals import Interval

# The verdict on two cells: faster, slower, the same, or not to be told apart yet.


MARGIN = 0.02
"""Differences that nobody acts on, as a fraction: below 2 % two cells count as the same."""


class Verdict(StrEnum):
    """The words are those of nvbench's comparison, with SAME for what is shown to be equal."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    AMBIGUOUS = "AMBIGUOUS"


OPPOSITE = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
"""What the other cell of a pair hears; the other two verdicts are the same for both."""


def margin(noise_floor: float | None) -> float:
    """What two cells must differ by: the larger of 2 % and the machine's noise floor.

    Args:
        noise_floor: what identical cells may differ by on this machine, as a fraction
            (``noise.Floor.floor``); ``None`` where that was never measured.

    Raises:
        ValueError: for a floor below zero or not finite.
    """
    return MARGIN if noise_floor is None else max(MARGIN, _fraction(noise_floor))


def verdict_of(ratio: Interval | None, margin: float) -> Verdict:
    """What an interval says of a cell.

    SAME is a finding of its own, that of an equivalence test: the whole interval lies within the
    margin (two one-sided tests: Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15: 657).
    An interval that merely contains 1 is AMBIGUOUS.

    Args:
        ratio: time of the judged cell / time of the other one; ``None`` where that is not known.
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
        raise ValueError(f"a margin is a fraction of at least 0, not {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class RankRange:
    """The ranks that a cell may have: from ``first`` to ``last``, 1 being the fastest."""

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
        verdict: what that says of ``a``.
    """

    a: str
    b: str
    ratio: Interval | None
    verdict: Verdict

    def turned(self) -> Pair:
        """The same with ``b`` judged."""
        ratio = None if self.ratio is None else self.ratio.inverse()
        return Pair(self.b, self.a, ratio, OPPOSITE.get(self.verdict, self.verdict))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Everything that the rounds say of the order of some cells.

    Attributes:
        ranks: the possible ranks of each cell.
        pairs: every pair once, in the order in which the cells were given.
        best: the cell with the smallest median; the first of equals, ``None`` without any round.
        margin: the difference below which cells count as the same.
        level: the confidence with which all intervals in ``pairs`` hold together.
    """

    ranks: dict[str, RankRange]
    pairs: list[Pair]
    best: str | None
    margin: float
    level: float

    def against(self, other: str) -> dict[str, Pair]:
        """Every other cell, judged against ``other``."""
        found = [each.turned() if each.a == other else each for each in self.pairs]
        return {each.a: each for each in found if each.b == other}

    @property
    def against_best(self) -> dict[str, Pair]:
        """Every cell but the best, judged against it."""
        return {} if self.best is None else self.against(self.best)


def rank(
    rtf: Mapping[str, Mapping[int, float]], *, margin: float, level: float = intervals.LEVEL
) -> Ranking:
    """Compare all pairs, so that with confidence ``level`` every interval is right at once.

    Each pair's interval is taken at 1 - (1 - level) / pairs (Bonferroni), which holds whatever the
    pairs have in common. Without it, one of the 15 pairs of six equal cells would be said to differ
    in up to half of all runs.

    In few rounds two cells may agree by chance, and their spread then says nothing: processes that
    come in two speeds often show only one of them in three rounds. So where a pair's interval is
    Student's (``intervals.of_center``), it takes the usual spread of all pairs at least: their
    median. Without that, six equal cells of two speeds were told apart in 11 to 23 % of simulated
    runs of 3 rounds.

    Args:
        rtf: cell → round → RTF, or seconds of the same audio; above zero. Rounds may be missing.
        margin: see ``verdict.of``.
        level: of all intervals together.

    Raises:
        ValueError: for a value that is not finite and above zero, a level outside (0, 1), or a
            margin below zero.
    """
    intervals.check_level(level)
    names = list(rtf)
    couples = list(itertools.combinations(names, 2))
    logs = [intervals.log_ratios(rtf[a], rtf[b]) for a, b in couples]
    spreads = [statistics.stdev(each) for each in logs if len(each) >= intervals.MIN_ROUNDS]
    usual = statistics.median(spreads) if spreads else 0.0
    pairs = []
    for a, b in couples:
        each_level = 1 - (1 - level) / len(couples)
        ratio = intervals.of_ratio(rtf[a], rtf[b], each_level, least_spread=usual)
        pairs.append(Pair(a, b, ratio, verdict_of(ratio, margin)))
    first = dict.fromkeys(names, 1)
    last = dict.fromkeys(names, len(names))
    for pair in pairs:
        if pair.verdict in OPPOSITE:
            faster = pair.verdict is Verdict.FASTER
            winner, loser = (pair.a, pair.b) if faster else (pair.b, pair.a)
            first[loser] += 1
            last[winner] -= 1
    medians = {name: statistics.median(each.values()) for name, each in rtf.items() if each}
    return Ranking(
        ranks={name: RankRange(first[name], last[name]) for name in names},
        pairs=pairs,
        best=min(medians, key=lambda name: medians[name], default=None),
        margin=margin,
        level=level,
    )
