"""The journal's lines, in the order in which they happen."""

from __future__ import annotations

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.results.schema.manifest import Struct, ToolInfo

# What is measured: loads, samples, what the probes read, and how things ended.


LOAD_FRESH, LOAD_COLD, LOAD_WARM = "fresh", "cold", "warm"
"""The rungs of the load ladder."""


class SegmentInfo(Struct, frozen=True, kw_only=True):
    """A piece of transcript; seconds from the start of the audio."""

    start_s: float
    end_s: float
    text: str


class LoadResult(Struct, frozen=True, kw_only=True):
    """What it took one worker to get ready.

    Seconds by the worker's own clock; ``*_wall_s`` by the supervisor's. ``*_asked`` is what this
    worker was told, ``auto`` included.

    ``rung`` is the load ladder's: ``fresh`` (a new process; the usual), ``cold`` (a new process
    after the weights were dropped from the page cache) or ``warm`` (again in the same process).
    ``rung_note`` says what was done for it, or why it is not what it should be. ``compile_cache``
    is ``there`` or ``absent`` where a device's compiler keeps what it made for a program,
    ``unknown: ...`` where that cannot be seen, and empty where nothing is compiled.
    """

    round: int
    attempt: int
    spawn_s: float | None
    import_s: float | None
    hello_wall_s: float
    load_s: float
    load_wall_s: float
    device: str | None = None
    device_asked: str | None = None
    precision: str | None = None
    precision_asked: str | None = None
    peak_rss_before_bytes: int | None = None
    peak_rss_bytes: int | None = None
    rung: str = LOAD_FRESH
    rung_note: str = ""
    compile_cache: str = ""


class SampleResult(Struct, frozen=True, kw_only=True):
    """One transcription. ``kind`` is ``warmup`` (the first after loading) or ``timed``.

    ``utterance`` names the recording of a set, and is empty for a single one. ``failed`` is the
    backend's error where it gave no text; ``disturbed`` says what else took the processor. A sample
    that was discarded because it was disturbed and ``retaken`` counts in no median; the one that
    replaces it has the same ``index``.
    """

    round: int
    attempt: int
    index: int
    kind: str
    seconds: float
    wall_s: float
    text: str
    segments: list[SegmentInfo]
    language: str | None
    tokens: int | None
    cpu_s: float | None
    peak_rss_bytes: int | None
    utterance: str = ""
    failed: str = ""
    fallbacks: int | None = None
    first_segment_s: float | None = None
    stages_s: dict[str, float] = {}
    allocator_bytes: dict[str, int] = {}
    tree_cpu_s: float | None = None
    outside_cpu_s: float | None = None
    disturbed: str = ""
    retaken: bool = False


class ReadingInfo(Struct, frozen=True, kw_only=True):
    """What a probe read; ``value`` is ``None`` where it did not, and ``reason`` says why."""

    value: float | None
    unit: str
    reason: str = ""
    quality: str = ""


class MeterResult(Struct, frozen=True, kw_only=True):
    """What the probes read around one worker's timed samples."""

    round: int
    attempt: int
    audio_s: float
    wall_s: float
    readings: dict[str, ReadingInfo]


class ConditionsInfo(Struct, frozen=True, kw_only=True):
    """The machine's state at one moment; ``unknown`` says why a value is missing.

    ``values`` are numbers, texts or truth values by name, as docs/results.md lists them.
    """

    values: dict[str, float | str | bool]
    unknown: dict[str, str] = {}


class RoundResult(Struct, frozen=True, kw_only=True):
    """The machine before and after one round, and what the canary said.

    ``flagged`` says why the round is not to be trusted; ``replaced_by`` is the round that
    replaces it: where a cell has samples of that one, this one counts in none of its figures.
    """

    round: int
    before: ConditionsInfo
    after: ConditionsInfo
    canary_before_s: float | None = None
    canary_after_s: float | None = None
    changes: list[str] = []
    flagged: str = ""
    replaced_by: int | None = None
    cooled_s: float | None = None


class DecisionResult(Struct, frozen=True, kw_only=True):
    """What the stopping rule decided after round ``after`` - 1: visit ``cells`` until ``until``.

    No cells: the run ends here. ``look`` counts from 0; ``level`` is the level of the intervals
    that the rule looked at.
    """

    after: int
    until: int
    look: int
    level: float
    cells: list[str]
    reason: str


class EndingResult(Struct, frozen=True, kw_only=True):
    """How one worker ended, or (without ``attempt``) why one was not started.

    The vocabulary of ``status`` is in docs/results.md. With ``--repair``, ``weights_found`` is what
    was found of the weights that a worker could not load, and ``repaired`` is what was done to them
    before the worker that this is the end of.
    """

    round: int
    attempt: int | None
    status: str
    stage: str
    error_class: str
    message: str
    log_tail: str
    exit_code: int | None
    busy_after_s: float | None = None
    weights_found: str = ""
    repaired: list[str] = []


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
