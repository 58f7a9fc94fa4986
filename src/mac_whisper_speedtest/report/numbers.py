"""How a number is shown."""

from __future__ import annotations

from mac_whisper_speedtest.results.schema import Bounds

MISSING = "–"
"""Where there is nothing to show."""


def counted(number: int, one: str, several: str = "") -> str:
    """``1 round``, ``2 rounds``; ``several`` where it takes more than an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def amount(rounds: int, runs: int, *, whole_set: bool) -> str:
    """How much was measured of each cell: ``6 rounds × 2 samples``."""
    each = ("pass", "passes") if whole_set else ("sample", "samples")
    return f"{counted(rounds, 'round')} × {counted(runs, *each)}"


def with_bounds(value: float | None, bounds: Bounds | None, form: str) -> str:
    """A number and its interval, in brackets; without them where the rounds give none."""
    if value is None:
        return MISSING
    if bounds is None:
        return format(value, form)
    return f"{value:{form}} ({bounds.low:{form}}–{bounds.high:{form}})"
