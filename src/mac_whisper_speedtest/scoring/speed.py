"""Summaries of times. Pure functions of numbers; seconds in, seconds out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def cell_median_s(seconds_by_round: Mapping[int, Sequence[float]]) -> float | None:
    """The median over rounds of each round's median, or ``None`` without samples.

    Samples inside one process are correlated (they share its memory layout, caches and clock
    speed), so a process counts once, however many samples it gave.
    """
    medians = [statistics.median(values) for values in seconds_by_round.values() if values]
    return statistics.median(medians) if medians else None


def rtfx(audio_s: float, seconds: float) -> float | None:
    """Audio seconds per processing second (the inverse of RTF)."""
    return audio_s / seconds if seconds > 0 else None


def ranks(median_s: Mapping[str, float]) -> dict[str, int]:
    """Rank 1 is the smallest median; equal medians share a rank."""
    ordered = sorted(median_s.values())
    return {name: ordered.index(value) + 1 for name, value in median_s.items()}
