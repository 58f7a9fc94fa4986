"""How a number is shown."""

from __future__ import annotations

from mac_whisper_speedtest.results.schema import Bounds

MISSING = "–"
"""Where there is nothing to show."""


def with_bounds(value: float | None, bounds: Bounds | None, form: str) -> str:
    """A number and its interval, in brackets; without them where the rounds give none."""
    if value is None:
        return MISSING
    if bounds is None:
        return format(value, form)
    return f"{value:{form}} ({bounds.low:{form}}–{bounds.high:{form}})"
