"""What is written down: the manifest, the journal's lines, and the sealed run. Version 1.

Raw facts only. Every median, word error rate and rank is computed from them by ``scoring`` and can
be computed again. docs/results.md documents each field for readers of the files.
"""

from __future__ import annotations

import msgspec

from mac_whisper_speedtest.backends.contract import SettingValue

SCHEMA_VERSION = 1


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything written: immutable, fields by name; unknown fields are passed over."""


class ToolInfo(Struct, frozen=True, kw_only=True):
    """This program: its version and, from a checkout, its commit."""

    name: str
    version: str
    git_sha: str | None


class MachineInfo(Struct, frozen=True, kw_only=True):
    """The machine, without anything that names its owner.

    ``unknown`` says for every field that is ``None`` why it is.
    """

    os: str
    os_version: str
    architecture: str
    python: str
    cpu: str | None
    physical_cores: int | None
    logical_cores: int | None
    memory_bytes: int | None
    gpus: list[str] | None
    load_average_1m: float | None
    unknown: dict[str, str] = {}


class ClipInfo(Struct, frozen=True, kw_only=True):
    """The audio: what it is, how long, and the hash of the samples that backends were fed."""

    name: str
    seconds: float
    samples: int
    pcm_sha256: str
    source: str
    language: str | None = None
    reference: str | None = None


class WeightsInfo(Struct, frozen=True, kw_only=True):
    """Weights handed to a backend: their form, precision and the SHA-256 of every file."""

    model: str
    form: str
    precision: str
    files: dict[str, str]
    size_bytes: int
    source: str
    network_sha256: str | None = None


class CellPlan(Struct, frozen=True, kw_only=True):
    """One thing to measure: a backend with a model on a clip.

    ``declared`` is what the backend's description says it decodes with under the run's contract.
    """

    id: str
    backend: str
    model: str
    clip: str
    weights: WeightsInfo | None = None
    declared: dict[str, SettingValue] = {}


class RequestInfo(Struct, frozen=True, kw_only=True):
    """What was asked for. ``sha256`` in the manifest is over exactly this."""

    models: list[str]
    backends: list[str]
    clips: list[str]
    contract: dict[str, SettingValue]
    rounds: int
    runs: int
    seed: int
    threads: int
    device: str
    precision: str
    max_time_s: float
    timeout_s: float | None
    retries: int
    fail_fast: bool
    max_failures: int | None
    max_memory_bytes: int | None
    backends_named: bool
    strict: bool = False
    repair: bool = False


class Outcome(Struct, frozen=True, kw_only=True):
    """How the run ended.

    ``complete``, ``stopped`` (by --fail-fast or --max-failures), ``interrupted``, ``recovered``
    (made from the journal of a tool that was killed or could not write on), or ``running``.
    """

    state: str
    message: str = ""


class Manifest(Struct, frozen=True, kw_only=True):
    """Everything known before the first sample, written first.

    ``repaired`` says which weights were damaged and put right for this run (``--repair``).
    """

    schema_version: int
    run: int
    started_at: str
    tool: ToolInfo
    machine: MachineInfo
    request: RequestInfo
    request_sha256: str
    libraries: dict[str, str]
    clips: list[ClipInfo]
    cells: list[CellPlan]
    schedule: list[list[str]]
    outcome: Outcome | None = None
    repaired: list[str] = []


class SegmentInfo(Struct, frozen=True, kw_only=True):
    """A piece of transcript; seconds from the start of the audio."""

    start_s: float
    end_s: float
    text: str


class LoadResult(Struct, frozen=True, kw_only=True):
    """What it took one worker to get ready.

    Seconds by the worker's own clock; ``*_wall_s`` by the supervisor's. ``*_asked`` is what this
    worker was told, ``auto`` included.
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


class SampleResult(Struct, frozen=True, kw_only=True):
    """One transcription. ``kind`` is ``warmup`` (the first after loading) or ``timed``."""

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


class RunEnded(Struct, frozen=True, kw_only=True, tag="run_ended", tag_field="event"):
    """The last line of a journal whose tool was not killed."""

    state: str
    message: str = ""


Event = WorkerStarted | Loaded | Effective | Sample | WorkerEnded | RoundSkipped | RunEnded


class BackendResult(Struct, frozen=True, kw_only=True):
    """The backend as it was found: version, device and precision as observed."""

    name: str
    version: str | None
    versions: dict[str, str]
    device: str | None
    precision: str | None
    details: dict[str, str]


class ModelResult(Struct, frozen=True, kw_only=True):
    """The model, and the weights that were really used."""

    name: str
    weights: WeightsInfo | None


class DeviationResult(Struct, frozen=True, kw_only=True):
    """One setting in which other work was done than the contract asks for."""

    setting: str
    requested: SettingValue
    effective: SettingValue


class ContractResult(Struct, frozen=True, kw_only=True):
    """What was asked for, what was done, and where the two differ."""

    requested: dict[str, SettingValue]
    effective: dict[str, SettingValue]
    observed: list[str]
    deviations: list[DeviationResult]
    remarks: list[str]
    declared: dict[str, SettingValue] = {}


class Finding(Struct, frozen=True, kw_only=True):
    """Something a reader must know beside the number."""

    kind: str
    message: str


class Summary(Struct, frozen=True, kw_only=True):
    """Computed from the samples, never stored without them; ``None`` is "not measured".

    Seconds are medians over rounds of each round's median. ``rtfx`` is audio seconds per
    processing second. ``rank`` and ``times_best`` are within ``group``: cells that did equal work.
    """

    rank: int | None
    group: str | None = None
    timed_samples: int
    timed_samples_asked: int
    rounds_ok: int
    rounds_asked: int
    retries: int
    median_s: float | None
    min_s: float | None
    max_s: float | None
    rtfx: float | None
    times_best: float | None
    import_s: float | None
    load_s: float | None
    first_s: float | None
    peak_rss_bytes: int | None
    wer: float | None
    findings: list[Finding]


class CellResult(Struct, frozen=True, kw_only=True):
    """One cell of the sealed run."""

    id: str
    backend: BackendResult
    model: ModelResult
    clip: ClipInfo
    contract: ContractResult
    status: str
    endings: list[EndingResult]
    loads: list[LoadResult]
    samples: list[SampleResult]
    summary: Summary | None = None


class Run(Struct, frozen=True, kw_only=True):
    """A sealed run: the whole of ``run.json``."""

    schema_version: int
    manifest: Manifest
    cells: list[CellResult]
