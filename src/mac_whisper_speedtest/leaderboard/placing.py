"""Figures of several bundles: ranks of rows, and medians."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.leaderboard.peers import Speed
from mac_whisper_speedtest.leaderboard.submissions import SubmittedCell
from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.ranking import Pair, RankRange, Verdict

Rounds = Mapping[int, float]
"""Round → RTF."""


@dataclass(frozen=True, slots=True)
class Placing:
    """The ranks of a group's rows.

    Attributes:
        ranks: row → the ranks that it may have.
        ties: pairs of rows of which neither is faster → why, in words.
    """

    ranks: Mapping[str, RankRange]
    ties: Mapping[tuple[str, str], str]


def rank_rows(
    rows: Mapping[str, Mapping[str, Rounds]],
    *,
    margin: float,
    level: Mapping[str, float],
) -> Placing:
    """Rank the rows of a group.

    Bundles, not rounds, replicate a comparison: all rounds of one machine share its peculiarities.
    Two rows that share three bundles or more are therefore compared like cells of a run
    (``ranking.rank``), with a bundle in place of a round. Two rows that share one or two bundles
    differ only if the rounds of each of these bundles agree on it.

    Args:
        rows: row → bundle → that bundle's rounds, never empty.
        margin: the relative difference below which rows count as equal.
        level: bundle → confidence level for comparisons within its rounds.

    Raises:
        ValueError: a value is not finite or not above zero.
    """
    bundles = sorted({name for own in rows.values() for name in own})
    medians = {
        row: {bundles.index(name): statistics.median(each.values()) for name, each in own.items()}
        for row, own in rows.items()
    }
    between = ranking.rank(medians, margin=margin)
    inside = {
        name: _verdicts({row: own[name] for row, own in rows.items() if name in own}, margin, each)
        for name, each in level.items()
        if name in bundles
    }
    first = dict.fromkeys(rows, 1)
    last = dict.fromkeys(rows, len(rows))
    ties = {}
    for pair in between.pairs:
        found = pair.verdict
        common = sorted(rows[pair.a].keys() & rows[pair.b].keys())
        if len(common) < intervals.MIN_ROUNDS:
            found = _unanimous([inside[name][pair.a, pair.b] for name in common])
        if found in ranking.OPPOSITE:
            faster = found is Verdict.FASTER
            winner, loser = (pair.a, pair.b) if faster else (pair.b, pair.a)
            first[loser] += 1
            last[winner] -= 1
        else:
            ties[pair.a, pair.b] = _why_tied(rows, pair, common, found)
    return Placing({row: RankRange(first[row], last[row]) for row in rows}, ties)


def _why_tied(
    rows: Mapping[str, Mapping[str, Rounds]], pair: Pair, common: Sequence[str], found: Verdict
) -> str:
    if not common:
        return "no bundle has both, so the difference may be one of machines"
    if found is Verdict.SAME:
        return "they differ by less than the margin"
    if len(common) >= intervals.MIN_ROUNDS:
        return (
            f"the {len(common)} bundles that have both are too few or too different, when all "
            f"{len(rows)} rows are compared at once"
        )
    rounds = min(len(rows[row][name]) for row in (pair.a, pair.b) for name in common)
    if len(common) == 1:
        return (
            f"the {rounds} rounds of the one bundle that has both are too few or too different, "
            f"when all {len(rows)} rows are compared at once"
        )
    return f"the {len(common)} bundles that have both disagree"


def _verdicts(
    rows: Mapping[str, Rounds], margin: float, level: float
) -> dict[tuple[str, str], Verdict]:
    """The verdict of one bundle's rounds on every pair of rows, in both directions."""
    pairs: list[Pair] = ranking.rank(rows, margin=margin, level=level).pairs
    return {(each.a, each.b): each.verdict for pair in pairs for each in (pair, pair.swapped())}


def _unanimous(verdicts: list[Verdict]) -> Verdict:
    return verdicts[0] if verdicts and len(set(verdicts)) == 1 else Verdict.AMBIGUOUS


# One figure pooled over several bundles.

Basis = Literal["rounds", "bundles", "texts", "range", ""]

_Z = statistics.NormalDist().inv_cdf((1 + intervals.LEVEL) / 2)
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True, slots=True)
class PooledFigure:
    """A median over bundles, with an interval or a range.

    Attributes:
        value: the median; of one bundle its own value.
        low: lower end of the interval or range; ``None`` with an empty ``basis``.
        high: upper end.
        basis: ``rounds``: one bundle; the interval of its rounds. ``bundles``: at least six
            bundles; the interval of a median of independent values (``of_median``). ``range``: two
            to five bundles, which allow no interval; the smallest and the largest value. ``texts``:
            of an error rate, from the lowest to the highest end of the bundles' intervals. Empty:
            one bundle with too few rounds, or with too few words.
        level: confidence level of the interval; ``None`` if there is none.
        values: one per bundle, rising.
    """

    value: float
    low: float | None
    high: float | None
    basis: Basis
    level: float | None
    values: tuple[float, ...]


def pooled_rtfx(cells: Sequence[SubmittedCell]) -> PooledFigure:
    """The speed of one row: the median over bundles of each bundle's median over rounds.

    Intervals are those of ``intervals.of_median``: two of the values themselves, whatever the
    distribution. They take bundles for independent, although two may be of one machine.

    Args:
        cells: one per bundle, each with rounds.

    Raises:
        ValueError: no cell, or an impossible time.
    """
    values = [1 / statistics.median(each.rtf.values()) for each in cells]
    if len(cells) == 1 and (bounds := cells[0].bounds) is not None:
        return _figure(values, bounds.low, bounds.high, "rounds")
    return _between(values)


def pooled_error_rate(cells: Sequence[SubmittedCell]) -> PooledFigure | None:
    """The error rate of one row; ``None`` without reference texts.

    Bundles do not make its interval narrower: all of them transcribed the same speech.
    """
    found = [each.summary.accuracy for each in cells]
    known = [each for each in found if each is not None and each.rate is not None]
    if not known:
        return None
    rates = [each.rate for each in known if each.rate is not None]
    lows = [each.rate_low for each in known if each.rate_low is not None]
    highs = [each.rate_high for each in known if each.rate_high is not None]
    if lows and highs:
        return _figure(rates, min(*lows, *rates), max(*highs, *rates), "texts")
    if len(rates) == 1:
        return _figure(rates, None, None, "")
    return _figure(rates, min(rates), max(rates), "range")


def speed_of_cell(cell: SubmittedCell) -> Speed:
    """The speed of a cell that has rounds.

    On a logarithmic scale, half the width of its interval is 1.96 standard errors.
    """
    bounds = cell.bounds
    error = math.log(bounds.high / bounds.low) / 2 / _Z if bounds and bounds.low else None
    return Speed(1 / statistics.median(cell.rtf.values()), error)


def _between(values: Sequence[float]) -> PooledFigure:
    found = intervals.of_median(values)
    if found is not None:
        return _figure(values, found.low, found.high, "bundles")
    if len(values) == 1:
        return _figure(values, None, None, "")
    return _figure(values, min(values), max(values), "range")


def _figure(
    values: Sequence[float], low: float | None, high: float | None, basis: Basis
) -> PooledFigure:
    return PooledFigure(
        value=statistics.median(values),
        low=low,
        high=high,
        basis=basis,
        level=intervals.LEVEL if basis in {"rounds", "bundles", "texts"} else None,
        values=tuple(sorted(values)),
    )
