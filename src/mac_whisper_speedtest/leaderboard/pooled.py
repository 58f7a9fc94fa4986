"""One figure from several bundles: a median, and how far it can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.leaderboard.peers import Speed
from mac_whisper_speedtest.leaderboard.submissions import Entry
from mac_whisper_speedtest.stats import intervals

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


def rtfx(entries: Sequence[Entry]) -> Figure:
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


def error_rate(entries: Sequence[Entry]) -> Figure | None:
    """The error rate of one row; ``None`` where no words are known.

    One bundle's rate has no interval here: rounds say the same text again.
    """
    known = [each.error_rate for each in entries if each.error_rate is not None]
    if not known:
        return None
    if len(known) == 1:
        return _figure(known, None, None, "")
    return _figure(known, min(known), max(known), "range")


def speed(entry: Entry) -> Speed:
    """An entry's speed for :mod:`~mac_whisper_speedtest.leaderboard.peers`; it must have rounds.

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
