"""The journal's lines, in the order in which they happen."""

from __future__ import annotations

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.results.schema.manifest import ToolInfo
from mac_whisper_speedtest.results.schema.measured import (
    DecisionResult,
    EndingResult,
    LoadResult,
    MeterResult,
    RoundResult,
    SampleResult,
)
from mac_whisper_speedtest.results.schema.record import Struct


class WorkerStarted(Struct, frozen=True, kw_only=True, tag="worker_started", tag_field="event"):
    """A worker process was started for a cell's round."""

    cell: str
    round: int
    attempt: int


class Loaded(LoadResult, frozen=True, kw_only=True, tag="loaded", tag_field="event"):
    """The worker is ready; with what was found, and what is not as it was asked for."""

    cell: str
    version: str
    versions: dict[str, str]
    device: str
    precision: str
    details: dict[str, str]
    warnings: list[str] = []


class Effective(Struct, frozen=True, kw_only=True, tag="effective", tag_field="event"):
    """The settings a worker really decoded with; written again only when they change."""

    cell: str
    round: int
    attempt: int
    values: dict[str, SettingValue]
    observed: list[str]
    remarks: list[str]


class Sample(SampleResult, frozen=True, kw_only=True, tag="sample", tag_field="event"):
    """A transcription of a cell."""

    cell: str


class Metered(MeterResult, frozen=True, kw_only=True, tag="metered", tag_field="event"):
    """What the probes read around a worker's timed samples."""

    cell: str


class RoundWatched(RoundResult, frozen=True, kw_only=True, tag="round_watched", tag_field="event"):
    """The machine around a round."""


class Decided(DecisionResult, frozen=True, kw_only=True, tag="decided", tag_field="event"):
    """The stopping rule looked, and decided."""


class WorkerEnded(EndingResult, frozen=True, kw_only=True, tag="worker_ended", tag_field="event"):
    """The end of a cell's worker."""

    cell: str


class RoundSkipped(Struct, frozen=True, kw_only=True, tag="round_skipped", tag_field="event"):
    """A round that was planned and not run, and why.

    ``status`` is ``ok`` when nothing is wrong with that (the time budget was spent), else
    ``skipped`` or ``unavailable``.
    """

    cell: str
    round: int
    status: str
    error_class: str
    message: str


class Resumed(Struct, frozen=True, kw_only=True, tag="resumed", tag_field="event"):
    """The run is taken up again where it had ended (``--resume``); ``at`` as in the manifest."""

    at: str
    tool: ToolInfo


class RunEnded(Struct, frozen=True, kw_only=True, tag="run_ended", tag_field="event"):
    """The last line of a journal whose tool was not killed."""

    state: str
    message: str = ""


Event = (
    WorkerStarted
    | Loaded
    | Effective
    | Sample
    | Metered
    | RoundWatched
    | Decided
    | WorkerEnded
    | RoundSkipped
    | Resumed
    | RunEnded
)
