"""A comparison of two runs as it is written down: what ``speedtest compare`` prints as JSON."""

from __future__ import annotations

import msgspec

from mac_whisper_speedtest.results.schema.manifest import Struct

SCHEMA_VERSION = 1

COMPARED, MISSING, ADDED, UNMATCHED = "compared", "missing", "added", "unmatched"
FAILED, FIXED, FAILED_IN_BOTH = "failed", "fixed", "failed in both"
"""What became of a cell."""


class RunInfo(Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    label: str
    run: int
    run_id: str
    tags: list[str]
    started_at: str
    tool: str
    state: str


class FactChange(Struct, frozen=True, kw_only=True):
    """One fact of both runs, as text; a range where it moved during a run."""

    name: str
    unit: str
    base: str | None
    new: str | None
    differs: bool


class RatioInfo(Struct, frozen=True, kw_only=True):
    """New ÷ base and its interval; ``level`` is what the interval covers with."""

    estimate: float
    low: float
    high: float
    level: float


class SpeedChange(Struct, frozen=True, kw_only=True):
    """Processing seconds per audio second (RTF), before and after.

    ``base_rounds`` and ``new_rounds`` have one RTF per round that counts; ``*_rtf`` are their
    medians. ``*_processor`` is processor seconds per audio second. ``why`` says what a reader must
    know of the verdict.
    """

    base_rtf: float
    new_rtf: float
    base_processor: float | None
    new_processor: float | None
    base_rounds: list[float]
    new_rounds: list[float]
    ratio: RatioInfo | None
    verdict: str
    why: str


class AccuracyChange(Struct, frozen=True, kw_only=True):
    """How right the texts are, before and after.

    ``delta`` is the new rate minus that of the base; ``verdict`` is ``as good``, ``worse`` or
    ``unclear``, and empty where nothing was judged; ``how`` says how, or why not.
    """

    metric: str | None
    base_rate: float | None
    new_rate: float | None
    delta: float | None
    low: float | None
    high: float | None
    verdict: str
    how: str


class TextChange(Struct, frozen=True, kw_only=True):
    """Whether the same words came out, whatever was said.

    ``same`` of ``recordings`` have the same text to the letter. ``changed`` is the share of the
    base's words (characters, where ``metric`` is ``cer``) that became others.
    """

    recordings: int
    same: int
    metric: str | None
    changed: float | None


class QuantityChange(Struct, frozen=True, kw_only=True):
    """Memory, energy or loading, before and after: medians over processes.

    ``verdict`` is ``MORE``, ``LESS``, ``SAME`` or ``AMBIGUOUS``; where a side was not measured it
    is empty and ``reason`` says why.
    """

    kind: str
    name: str
    unit: str
    base: float | None
    new: float | None
    ratio: RatioInfo | None
    margin: float
    verdict: str
    reason: str


class CellChange(Struct, frozen=True, kw_only=True):
    """One cell in both runs, or in one of them.

    ``backend`` is without a version, ``base_backend`` and ``new_backend`` are as each run names it.
    ``label`` is ``backend``, or what tells the cell from others of that backend in the comparison.
    """

    label: str
    backend: str
    model: str
    clip: str
    audio_s: float
    state: str
    base_backend: str | None
    new_backend: str | None
    base_version: str | None
    new_version: str | None
    base_precision: str | None
    new_precision: str | None
    base_status: str | None
    new_status: str | None
    message: str
    speed: SpeedChange | None
    accuracy: AccuracyChange | None
    texts: TextChange | None
    quantities: list[QuantityChange]
    changes: list[FactChange]

    @property
    def name(self) -> str:
        """What messages call it; unique in its comparison."""
        return f"{self.label} {self.model} on {self.clip}"


class Regression(Struct, frozen=True, kw_only=True):
    """Something to fail on. ``kind`` is what ``--fail-on`` names, or ``failed``."""

    cell: str
    kind: str
    message: str


class Compared(Struct, frozen=True, kw_only=True):
    """Two runs compared.

    ``differences`` are why they should not be; with ``--anyway`` they are compared all the same.
    ``level`` is that of all speed intervals together. ``machine`` is how many times as long the
    canary took in the new run.
    """

    schema_version: int
    base: RunInfo
    new: RunInfo
    differences: list[str]
    margin: float
    margin_from: str
    level: float
    machine: RatioInfo | None
    cells: list[CellChange]
    conditions: list[FactChange]
    facts: list[FactChange]
    remarks: list[str]
    fail_on: list[str]
    regressions: list[Regression]


def to_json(value: Struct) -> str:
    """A document as JSON for people: indented, with one newline at its end."""
    return (msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n").decode()


# One cell over time as it is written down: what ``speedtest history`` prints as JSON.


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
