"""Which bundle is off its peers: those of the same hardware class, on the cells that they share.

Machines of one class are expected to be equally fast. One that is not says something of itself (it
was hot, busy, on battery, or is not what it claims), and less of the backends.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from mac_whisper_speedtest.stats.outliers import CUT, FLOOR, SMALL_SAMPLE, TO_SIGMA

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
class Standing:
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
) -> tuple[dict[str, Standing], Spread | None]:
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
    found = {name: Standing(len(cells)) for name, cells in shared.items()}
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
        found[name] = Standing(
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
