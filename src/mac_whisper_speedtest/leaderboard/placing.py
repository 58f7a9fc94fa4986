"""Figures of several bundles: ranks of rows, machines that differ from their peers, medians."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.leaderboard.submissions import SubmittedCell
from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.stats.outliers import CUT, FLOOR, SMALL_SAMPLE, TO_SIGMA
from mac_whisper_speedtest.stats.ranking import Pair, RankRange, Verdict

Rounds = Mapping[int, float]
"""Round → RTF."""


def rank_rows(
    rows: Mapping[str, Mapping[str, Rounds]],
    *,
    margin: float,
    level: Mapping[str, float],
) -> dict[str, RankRange]:
    """The ranks that each row of a group may have.

    Bundles, not rounds, replicate a comparison: all rounds of one machine share its peculiarities.
    Two rows that share three bundles or more are therefore compared like cells of a run
    (``ranking.rank``), with a bundle in place of a round. Two rows that share one or two bundles
    differ only if the rounds of each of these bundles agree on it.

    Args:
        rows: row → bundle → that bundle's rounds, none of them empty.
        margin: the relative difference below which rows count as equal.
        level: bundle → confidence level for comparisons of its own rounds.

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
    return {row: RankRange(first[row], last[row]) for row in rows}


def _verdicts(
    rows: Mapping[str, Rounds], margin: float, level: float
) -> dict[tuple[str, str], Verdict]:
    """The verdict of one bundle's rounds on every pair of rows, in both directions."""
    pairs: list[Pair] = ranking.rank(rows, margin=margin, level=level).pairs
    return {(each.a, each.b): each.verdict for pair in pairs for each in (pair, pair.swapped())}


def _unanimous(verdicts: list[Verdict]) -> Verdict:
    return verdicts[0] if verdicts and len(set(verdicts)) == 1 else Verdict.AMBIGUOUS


# Machines of one hardware class should be equally fast. One that differs from its peers was hot,
# busy, on battery, or is not what it claims to be.

MIN_PEERS = 3
"""Bundles, including the judged one: if only two differ, either may be the outlier."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one cell was in one bundle.

    Attributes:
        rtfx: audio seconds per processing second, above zero.
        error: standard error of log RTFx, derived from its interval; ``None`` with too few rounds.
    """

    rtfx: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class MachineOutlier:
    """A bundle compared with its peers.

    Attributes:
        cells: how many of its cells at least ``MIN_PEERS`` bundles share.
        ratio: its RTFx as a multiple of the usual one; ``None`` if it cannot be judged.
        score: the modified z-score; ``None`` if it cannot be judged.
        off: whether it is an outlier.
    """

    cells: int
    ratio: float | None = None
    score: float | None = None
    off: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the bundles of a class differ, as multiples of their median speed.

    Attributes:
        bundles: how many could be compared.
        low: the slowest.
        high: the fastest.
        sigma: robust standard deviation, as a fraction.
    """

    bundles: int
    low: float
    high: float
    sigma: float


def machine_outliers(
    speeds: Mapping[str, Mapping[Hashable, Speed]],
) -> tuple[dict[str, MachineOutlier], Spread | None]:
    """Judge every bundle of one hardware class.

    A bundle's distance is the median, over its shared cells, of log RTFx minus the median log RTFx
    of all bundles. Its score is the difference of that distance from the median distance, divided
    by the median absolute deviation scaled to a standard deviation (the modified z-score of
    Iglewicz & Hoaglin, How to Detect and Handle Outliers, ASQC 1993, section 3; an outlier is
    beyond 3.5), with the small-sample correction of Croux & Rousseeuw (``outliers.SMALL_SAMPLE``).

    Few bundles may agree by chance. The divisor is therefore never smaller than the standard error
    of the bundle's own speeds, nor than a value that makes 10 % the smallest outlier
    (``outliers.FLOOR``).

    Args:
        speeds: bundle → cell → its speed. Cells are the same only for equal work, backend, version,
            device, precision and threads.

    Returns:
        The judgment of every bundle, and the spread of those that could be judged; ``None`` if
        these are fewer than ``MIN_PEERS``.

    Raises:
        ValueError: an RTFx is not finite or not above zero.
    """
    usual = _usual(speeds)
    shared = {name: [cell for cell in own if cell in usual] for name, own in speeds.items()}
    away = {
        name: statistics.median(math.log(speeds[name][cell].rtfx) - usual[cell] for cell in cells)
        for name, cells in shared.items()
        if cells
    }
    found = {name: MachineOutlier(len(cells)) for name, cells in shared.items()}
    if len(away) < MIN_PEERS:
        return found, None
    n = len(away)
    middle = statistics.median(away.values())
    deviation = statistics.median(abs(each - middle) for each in away.values())
    sigma = SMALL_SAMPLE.get(n, n / (n - 0.8)) * TO_SIGMA * deviation
    errors = {name: _error(speeds[name], shared[name]) for name in away}
    known = [each for each in errors.values() if each is not None]
    typical = statistics.median(known) if known else 0.0
    for name, each in away.items():
        own = errors[name]
        unit = max(sigma, typical if own is None else own, math.log(FLOOR) / CUT)
        score = (each - middle) / unit
        found[name] = MachineOutlier(
            len(shared[name]), math.exp(each - middle), score, off=abs(score) > CUT
        )
    ratios = [math.exp(each - middle) for each in away.values()]
    return found, Spread(n, min(ratios), max(ratios), math.expm1(sigma))


def _usual(speeds: Mapping[str, Mapping[Hashable, Speed]]) -> dict[Hashable, float]:
    """The median log RTFx of every cell that enough bundles have."""
    logs: defaultdict[Hashable, list[float]] = defaultdict(list)
    for own in speeds.values():
        for cell, speed in own.items():
            if not (math.isfinite(speed.rtfx) and speed.rtfx > 0):
                raise ValueError(f"an RTFx is above zero, not {speed.rtfx!r}")
            logs[cell].append(math.log(speed.rtfx))
    return {cell: statistics.median(each) for cell, each in logs.items() if len(each) >= MIN_PEERS}


def _error(own: Mapping[Hashable, Speed], cells: list[Hashable]) -> float | None:
    """The median standard error of a bundle's shared cells.

    It is not divided by their number: a disturbance of the machine affects all cells alike.
    """
    known = [error for cell in cells if (error := own[cell].error) is not None]
    return statistics.median(known) if known else None


# One figure pooled over several bundles.

Basis = Literal["rounds", "bundles", "range", ""]

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
            to five bundles, which allow no interval; the smallest and the largest value. Empty: one
            bundle with too few rounds.
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

    One bundle's rate has no interval: its rounds repeat the same text.
    """
    known = [each.error_rate for each in cells if each.error_rate is not None]
    if not known:
        return None
    if len(known) == 1:
        return _figure(known, None, None, "")
    return _figure(known, min(known), max(known), "range")


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
        level=intervals.LEVEL if basis in {"rounds", "bundles"} else None,
        values=tuple(sorted(values)),
    )
