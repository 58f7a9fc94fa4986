"""Who is certainly faster than whom where several bundles have a say."""

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


def ranks(
    rows: Mapping[str, Mapping[str, Rounds]],
    *,
    margin: float,
    level: Mapping[str, float],
) -> dict[str, RankRange]:
    """The ranks that each row of a group may have.

    Bundles, not their rounds, are what repeats a comparison: rounds of one machine share what is
    odd about it. So where two rows have three bundles or more in common, they are compared as
    cells of a run are (``ranking.rank``), with a bundle in place of a round. Where they have one or
    two, one is the faster only if the rounds of each of these bundles say so by themselves.

    Args:
        rows: row → bundle → that bundle's rounds, none of them empty.
        margin: the relative difference below which rows count as the same.
        level: bundle → the confidence that its own rounds are to be judged with.

    Raises:
        ValueError: for a value that is not finite and above zero.
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
    """What one bundle's rounds say of every pair of rows, in both directions."""
    pairs: list[Pair] = ranking.rank(rows, margin=margin, level=level).pairs
    return {(each.a, each.b): each.verdict for pair in pairs for each in (pair, pair.swapped())}


def _unanimous(verdicts: list[Verdict]) -> Verdict:
    return verdicts[0] if verdicts and len(set(verdicts)) == 1 else Verdict.AMBIGUOUS


# Which bundle is off its peers: those of the same hardware class, on the cells that they share.
#
# Machines of one class are expected to be equally fast. One that is not says something of itself
# (it was hot, busy, on battery, or is not what it claims), and less of the backends.


MIN_PEERS = 3
"""Bundles, the judged one among them: two that differ do not say which of them is off."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one cell was in one bundle.

    Attributes:
        rtfx: audio seconds per processing second, above zero.
        error: the standard error of its logarithm, as its interval tells it; ``None`` where the
            bundle has too few rounds for one.
    """

    rtfx: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class MachineOutlier:
    """A bundle among its peers.

    Attributes:
        cells: how many of its cells at least ``MIN_PEERS`` bundles share; 0: nothing to judge by.
        ratio: its RTFx as a multiple of what is usual; ``None`` where it cannot be judged.
        score: the modified z-score; ``None`` likewise.
        off: whether it stands out.
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
        high: the quickest.
        sigma: a robust standard deviation, as a fraction.
    """

    bundles: int
    low: float
    high: float
    sigma: float


def standings(
    speeds: Mapping[str, Mapping[Hashable, Speed]],
) -> tuple[dict[str, MachineOutlier], Spread | None]:
    """Judge every bundle of one hardware class.

    A bundle's distance is the median, over the cells that it shares, of log RTFx minus the median
    of all bundles there. Its score is that distance from the median distance in units of the median
    absolute deviation, scaled to a standard deviation (Iglewicz & Hoaglin, How to Detect and Handle
    Outliers, ASQC 1993, section 3: the modified z-score, which stands out beyond 3.5), here with
    the correction for few values of Croux & Rousseeuw (``outliers.SMALL_SAMPLE``).

    A few bundles may agree by chance. So the unit is never smaller than the standard error of the
    bundle's own speeds, nor than what makes a tenth just stand out (``outliers.FLOOR``).

    Args:
        speeds: bundle → cell → its speed. Two cells are the same one only for equal work, backend,
            version, device, precision and threads.

    Returns:
        Every bundle's standing, and the spread of those that could be judged; ``None`` where fewer
        than ``MIN_PEERS`` could be.

    Raises:
        ValueError: for an RTFx that is not finite and above zero.
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
    """The usual standard error of a bundle's shared cells.

    Not divided by their number: what disturbs a machine disturbs all of its cells alike.
    """
    known = [error for cell in cells if (error := own[cell].error) is not None]
    return statistics.median(known) if known else None


# One figure from several bundles: a median, and how far it can be trusted.


Basis = Literal["rounds", "bundles", "range", ""]

_Z = statistics.NormalDist().inv_cdf((1 + intervals.LEVEL) / 2)
"""How many standard errors a 95 % interval reaches to either side."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and what stands beside it.

    Attributes:
        value: of one bundle its own, of several the median of theirs.
        low: the lower end of what ``basis`` says; ``None`` where there is nothing to say.
        high: the upper end.
        basis: ``rounds``: one bundle, and the interval is that of its rounds. ``bundles``: at least
            six, and the interval is that of a median of independent values (``of_median``).
            ``range``: two to five bundles, which allow no interval; the smallest and the largest.
            Empty: one bundle with too few rounds.
        level: of the interval; ``None`` where it is none.
        values: one per bundle, the smallest first.
    """

    value: float
    low: float | None
    high: float | None
    basis: Basis
    level: float | None
    values: tuple[float, ...]


def rtfx(entries: Sequence[SubmittedCell]) -> Figure:
    """The speed of one row: entries that have rounds, each of another bundle.

    The median over bundles of each bundle's median over rounds. The intervals are those of
    ``intervals.of_median``: two of the values themselves, whatever the distribution. What bundles
    have in common (two of them may be of one machine) they do not see.

    Raises:
        ValueError: without an entry, or for a time that cannot be.
    """
    values = [1 / statistics.median(each.rtf.values()) for each in entries]
    if len(entries) == 1 and (only := entries[0]).low is not None:
        return _figure(values, only.low, only.high, "rounds")
    return _between(values)


def error_rate(entries: Sequence[SubmittedCell]) -> Figure | None:
    """The error rate of one row; ``None`` where no words are known.

    One bundle's rate has no interval here: rounds say the same text again.
    """
    known = [each.error_rate for each in entries if each.error_rate is not None]
    if not known:
        return None
    if len(known) == 1:
        return _figure(known, None, None, "")
    return _figure(known, min(known), max(known), "range")


def speed(entry: SubmittedCell) -> Speed:
    """An entry's speed for :mod:`~mac_whisper_speedtest.leaderboard.placing`; it must have rounds.

    Half the interval's width on the scale of logarithms is 1.96 standard errors.
    """
    error = math.log(entry.high / entry.low) / 2 / _Z if entry.low and entry.high else None
    return Speed(1 / statistics.median(entry.rtf.values()), error)


def _between(values: Sequence[float]) -> Figure:
    found = intervals.of_median(values)
    if found is not None:
        return _figure(values, found.low, found.high, "bundles")
    if len(values) == 1:
        return _figure(values, None, None, "")
    return _figure(values, min(values), max(values), "range")


def _figure(values: Sequence[float], low: float | None, high: float | None, basis: Basis) -> Figure:
    return Figure(
        value=statistics.median(values),
        low=low,
        high=high,
        basis=basis,
        level=intervals.LEVEL if basis in {"rounds", "bundles"} else None,
        values=tuple(sorted(values)),
    )
