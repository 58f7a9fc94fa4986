"""Bundles and rows of one hardware class against each other: which of them are odd. Pure.

Machines of one hardware class should be equally fast. One that differs from its peers was hot,
busy, on battery, or is not what it claims to be. One backend that differs while the others of its
bundle do not was forged, or something was wrong with it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mac_whisper_speedtest.stats.outliers import CUT, FLOOR, SMALL_SAMPLE, TO_SIGMA

_Row = TypeVar("_Row", bound=Hashable)

MIN_PEERS = 3
"""Bundles, including the judged one: if only two differ, either may be the outlier."""

ODD_FACTOR = 1.3
"""A cell within this factor of its peers is never odd: power, heat and drivers change backends of
one machine differently."""
DISPUTED_FACTOR = 1.6
"""Bundles that differ by more than this in a row, without a clear majority, dispute it."""
MOST_ODD, MOST_SLOWER = 1 / 3, 1 / 4
"""Less than this share of a row's bundles can be odd, and odd by being slower; else it is not known
which are. To be faster is what forgers want, and several of them make the others look slow."""


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
class Dispute:
    """Bundles of which some are much faster than the others, with no clear majority.

    Attributes:
        slow: names of the bundles that are slower, sorted.
        fast: names of those that are faster.
        ratio: how much faster the slowest of them is than the fastest of the others.
    """

    slow: tuple[str, ...]
    fast: tuple[str, ...]
    ratio: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the bundles of a class differ, as multiples of their median speed.

    Attributes:
        bundles: how many could be compared.
        low: the slowest.
        high: the fastest.
        sigma: robust standard deviation, as a fraction.
        dispute: whether they fall into two camps, so that neither can be called wrong.
    """

    bundles: int
    low: float
    high: float
    sigma: float
    dispute: Dispute | None = None


def machine_outliers(
    speeds: Mapping[str, Mapping[_Row, Speed]],
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
    sigma = _sigma(away.values())
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
    dispute = None
    if sum(each.off for each in found.values()) > _most_odd(n):
        dispute = _dispute(away)
    if dispute is not None:  # which of them are off cannot be known
        found = {name: replace(each, off=False) for name, each in found.items()}
    ratios = [math.exp(each - middle) for each in away.values()]
    return found, Spread(n, min(ratios), max(ratios), math.expm1(sigma), dispute)


def _usual(speeds: Mapping[str, Mapping[_Row, Speed]]) -> dict[_Row, float]:
    """The median log RTFx of every cell that enough bundles have."""
    logs: defaultdict[_Row, list[float]] = defaultdict(list)
    for own in speeds.values():
        for cell, speed in own.items():
            if not (math.isfinite(speed.rtfx) and speed.rtfx > 0):
                raise ValueError(f"an RTFx is above zero, not {speed.rtfx!r}")
            logs[cell].append(math.log(speed.rtfx))
    return {cell: statistics.median(each) for cell, each in logs.items() if len(each) >= MIN_PEERS}


def _error(own: Mapping[_Row, Speed], cells: list[_Row]) -> float | None:
    """The median standard error of a bundle's shared cells.

    It is not divided by their number: a disturbance of the machine affects all cells alike.
    """
    known = [error for cell in cells if (error := own[cell].error) is not None]
    return statistics.median(known) if known else None


# One row against the same row of the peers.

FIGURE_FACTOR = 2.0
"""Energy, memory and load times differ more between machines of a class than times do."""


def odd_figures(values: Mapping[str, float]) -> dict[str, float]:
    """The bundles with a figure that differs from their peers', and its ratio to theirs.

    Args:
        values: bundle → its figure, above zero.
    """
    logs = {bundle: math.log(value) for bundle, value in values.items()}
    found = _odd(logs, dict.fromkeys(logs, FIGURE_FACTOR))
    return {bundle: math.exp(each) for bundle, each in found.items()}


@dataclass(frozen=True, slots=True)
class OddCell:
    """A cell that differs from the same cell of its peers, while the rest of its bundle does not.

    Attributes:
        ratio: its RTFx as a multiple of the usual one, judging by the bundle's other cells and its
            machine.
        peers: bundles that have the row, this one among them.
    """

    ratio: float
    peers: int


@dataclass(frozen=True, slots=True)
class RowJudgments(Generic[_Row]):
    """What is odd in the rows of one hardware class.

    Attributes:
        odd: (bundle, row) → why; only rows of at least ``MIN_PEERS`` bundles.
        disputed: row → why.
    """

    odd: Mapping[tuple[str, _Row], OddCell]
    disputed: Mapping[_Row, Dispute]


def judge_rows(speeds: Mapping[str, Mapping[_Row, Speed]]) -> RowJudgments[_Row]:
    """Judge every row of every bundle against the same row of its peers.

    What is compared is not the speed but the speed among the other cells of the same bundle, so
    that a slow machine is not odd in every row. Both must differ: the speed itself, and the speed
    among the others; else one forged cell would make an honest one beside it look odd.

    A cell is odd if both are beyond ``ODD_FACTOR`` and 3.5 robust standard deviations of its row,
    and if few of the row's bundles are (``MOST_ODD``). Otherwise a gap of more than
    ``DISPUTED_FACTOR`` between the bundles makes the whole row disputed: who is in the majority may
    be who has forged most.

    Args:
        speeds: bundle → row → its speed; rows are the same only for equal work, backend, version,
            device, precision and threads.
    """
    rows: defaultdict[_Row, dict[str, float]] = defaultdict(dict)
    for bundle, own in speeds.items():
        for row, speed in own.items():
            rows[row][bundle] = math.log(speed.rtfx)
    usual = {row: statistics.median(each.values()) for row, each in rows.items()}
    shared = {row for row, each in rows.items() if len(each) > 1}
    odd: dict[tuple[str, _Row], OddCell] = {}
    disputed: dict[_Row, Dispute] = {}
    for row, logs in rows.items():
        away = {
            bundle: _away(
                each - usual[row],
                [
                    math.log(speeds[bundle][other].rtfx) - usual[other]
                    for other in speeds[bundle]
                    if other != row and other in shared
                ],
            )
            for bundle, each in logs.items()
        }
        # A bundle of one cell shows nothing about its machine, which may be slow.
        factor = {
            bundle: ODD_FACTOR if len(speeds[bundle]) > 1 else DISPUTED_FACTOR for bundle in away
        }
        found = _odd(away, factor, most_slower=MOST_SLOWER)
        odd |= {(bundle, row): OddCell(math.exp(each), len(away)) for bundle, each in found.items()}
        left = {bundle: each for bundle, each in away.items() if bundle not in found}
        if (dispute := _dispute(left)) is not None:
            disputed[row] = dispute
    return RowJudgments(odd, disputed)


def _away(own: float, others: Sequence[float]) -> float:
    """How far a cell is from its peers, on a log scale: by its speed, or among the others.

    Whichever is less: with another sign than the speed itself it is 0.
    """
    if not others:
        return own
    among = own - statistics.median(others)
    return 0.0 if own * among <= 0 else min(own, among, key=abs)


def _odd(
    away: Mapping[str, float], factor: Mapping[str, float], *, most_slower: float = 1.0
) -> dict[str, float]:
    """The bundles that are beyond their factor and 3.5 standard deviations, if they are few."""
    n = len(away)
    if n < MIN_PEERS:
        return {}
    middle = statistics.median(away.values())
    least = CUT * _sigma(away.values())
    found = {
        name: each - middle
        for name, each in away.items()
        if abs(each - middle) > max(math.log(factor[name]), least)
    }
    slower = sum(each < 0 for each in found.values())
    return found if len(found) <= _most_odd(n) and slower < most_slower * n else {}


def _most_odd(n: int) -> int:
    """One of three, since two agree against it; else less than ``MOST_ODD``."""
    return 1 if n == MIN_PEERS else math.ceil(MOST_ODD * n) - 1


def _sigma(values: Collection[float]) -> float:
    """Robust standard deviation, from the median absolute deviation."""
    n, middle = len(values), statistics.median(values)
    deviation = statistics.median(abs(each - middle) for each in values)
    return SMALL_SAMPLE.get(n, n / (n - 0.8)) * TO_SIGMA * deviation


def _dispute(away: Mapping[str, float]) -> Dispute | None:
    ordered = sorted(away, key=lambda bundle: (away[bundle], bundle))
    gaps = [
        (away[faster] - away[slower], number)
        for number, (slower, faster) in enumerate(itertools.pairwise(ordered), start=1)
    ]
    widest, number = max(gaps, default=(0.0, 0))
    if widest <= math.log(DISPUTED_FACTOR):
        return None
    return Dispute(
        tuple(sorted(ordered[:number])), tuple(sorted(ordered[number:])), math.exp(widest)
    )
