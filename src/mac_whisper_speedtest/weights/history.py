"""How fast downloads were on this machine, so that the next one can say how long it will take."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from mac_whisper_speedtest import files, paths

KEPT = 20
"""How many downloads are kept; a connection changes, so older ones say little."""

LEAST_BYTES = 1_000_000
"""Smaller downloads are mostly waiting for answers: their rate says nothing about large ones."""


def record(size_bytes: int, seconds: float) -> None:
    """Keep that ``size_bytes`` took ``seconds``, if that says anything.

    Raises:
        StorageError: the tool's cache cannot be written.
    """
    if size_bytes < LEAST_BYTES or seconds <= 0:
        return
    kept = [*_read(), (size_bytes, round(seconds, 3))][-KEPT:]
    files.write_bytes(_path(), json.dumps(kept).encode())


def expected_seconds(size_bytes: int) -> float | None:
    """How long ``size_bytes`` will take at the median rate so far; ``None`` without any."""
    rates = [moved / seconds for moved, seconds in _read()]
    return size_bytes / statistics.median(rates) if rates else None


def _read() -> list[tuple[int, float]]:
    try:
        read = json.loads(_path().read_bytes())
        pairs = [(int(moved), float(seconds)) for moved, seconds in read]
    except (OSError, ValueError, TypeError):
        return []  # nothing depends on it
    return [(moved, seconds) for moved, seconds in pairs if moved > 0 and seconds > 0]


def _path() -> Path:
    return paths.cache_dir() / "downloads.json"
