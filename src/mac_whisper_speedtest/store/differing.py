"""Where two JSON values differ, place by place. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

_REL = 1e-9
"""Logarithms and sums may differ in their last digits from one machine's C library to another's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place.

    Attributes:
        where: names and positions from the top.
        was: the one value, shortened.
        now: the other.
    """

    where: tuple[str, ...]
    was: str
    now: str

    def __str__(self) -> str:
        return f"{'.'.join(self.where)} is {self.was} and should be {self.now}"


def differences(was: object, now: object, where: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Every place in which two values differ, in order.

    Args:
        was: what JSON can hold.
        now: likewise.
        where: the two values' own place.
    """
    if isinstance(was, dict) and isinstance(now, dict):
        for name in was | now:
            yield from differences(was.get(name), now.get(name), (*where, name))
    elif isinstance(was, list | tuple) and isinstance(now, list | tuple):
        for number, (first, second) in enumerate(zip(was, now, strict=False)):
            yield from differences(first, second, (*where, str(number)))
        if len(was) != len(now):
            yield Difference((*where, "length"), str(len(was)), str(len(now)))
    elif not _equal(was, now):
        yield Difference(where, _short(was), _short(now))


def _equal(was: object, now: object) -> bool:
    numbers = (int, float)
    if isinstance(was, bool) or isinstance(now, bool):
        return was is now
    if isinstance(was, numbers) and isinstance(now, numbers):
        return math.isclose(was, now, rel_tol=_REL, abs_tol=0.0)
    return was == now


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
