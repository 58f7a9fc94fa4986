"""One cell over time as it is written down: what ``speedtest history`` prints as JSON."""

from __future__ import annotations

from mac_whisper_speedtest.compare.document import FactChange, RatioInfo
from mac_whisper_speedtest.results.schema.record import Struct

SCHEMA_VERSION = 1


class Point(Struct, frozen=True, kw_only=True):
    """What one run says of the cell. ``rtf`` is the median over its rounds."""

    run: int
    run_id: str
    tags: list[str]
    started_at: str
    tool: str
    backend: str
    backend_version: str | None
    rtf: float
    rtfx: float
    rtfx_low: float | None
    rtfx_high: float | None
    rounds: int
    wer: float | None
    peak_rss_bytes: int | None


class LastingChange(Struct, frozen=True, kw_only=True):
    """A change that lasts, seen from ``run`` on; ``before`` is the run in front of it.

    ``ratio`` is the time after it ÷ the time before it. ``p`` is how often runs in random order
    look as much like a change. ``facts`` are what else is different in ``run``.
    """

    run: int
    before: int
    verdict: str
    ratio: RatioInfo
    p: float
    facts: list[FactChange]


class Series(Struct, frozen=True, kw_only=True):
    """Runs of one cell that compare with each other, in order of their numbers."""

    backend: str
    model: str
    clip: str
    contract: str
    hardware: str
    comparable: str
    network_sha256: str | None
    settings: str
    margin: float
    points: list[Point]
    changes: list[LastingChange]


class History(Struct, frozen=True, kw_only=True):
    """Every series of a backend. ``left_out`` counts runs in which the cell was not ``ok``."""

    schema_version: int
    backend: str
    limit: int
    left_out: int
    series: list[Series]
