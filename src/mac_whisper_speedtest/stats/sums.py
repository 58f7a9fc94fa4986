"""The sums of all pairs of values in order, computed on access: rank statistics need only a few.

Of two lists of n values there are n² sums. The k-th smallest is the smallest number that k of them
do not exceed, which is bisected; counting takes one walk over both sorted lists.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import overload

MADE = 20_000
"""Up to this many sums are computed and sorted directly, which is faster."""


def of_pairs(values: Sequence[float]) -> Sequence[float]:
    """Sums x + y of every pair (doubled Walsh averages), each value with itself too, in order."""
    ordered = sorted(values)
    if len(ordered) ** 2 <= 2 * MADE:
        return sorted(x + y for i, x in enumerate(ordered) for y in ordered[i:])
    return _Sums(ordered, ordered, once=True)


def of_two(first: Sequence[float], second: Sequence[float]) -> Sequence[float]:
    """Sums x + y of every x in ``first`` and y in ``second``, in order."""
    if len(first) * len(second) <= MADE:
        return sorted(x + y for x in first for y in second)
    return _Sums(sorted(first), sorted(second), once=False)


def median(ordered: Sequence[float]) -> float:
    """The median of sorted values."""
    half, odd = divmod(len(ordered), 2)
    return ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2


class _Sums(Sequence[float]):
    """Sums in order, each computed on access.

    Args:
        first: in order.
        second: in order.
        once: both are the same list, so x + y and y + x count once.
    """

    def __init__(self, first: Sequence[float], second: Sequence[float], *, once: bool) -> None:
        self._first = first
        self._second = second
        self._once = once

    def __len__(self) -> int:
        n = len(self._first)
        return n * (n + 1) // 2 if self._once else n * len(self._second)

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        place = range(len(self))[at]
        low, high = self._first[0] + self._second[0], self._first[-1] + self._second[-1]
        if self._count(low) > place:
            return low
        while (middle := low + (high - low) / 2) not in {low, high}:
            if self._count(middle) > place:
                high = middle
            else:
                low = middle
        return high

    def _count(self, limit: float) -> int:
        """How many sums do not exceed ``limit``."""
        found, at = 0, len(self._second)
        for each in self._first:
            while at and each + self._second[at - 1] > limit:
                at -= 1
            if not at:
                break
            found += at
        if not self._once:
            return found
        own = bisect.bisect_right(self._first, limit, key=lambda each: each + each)
        return (found + own) // 2
