"""What is known before the first sample: the manifest and its parts."""

from __future__ import annotations

import msgspec

from mac_whisper_speedtest.backends.contract import SettingValue

# The base of everything that is written down.


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


class UtteranceInfo(Struct, frozen=True, kw_only=True):
    """One recording of a set; what ``ClipInfo`` says of a single one.

    ``silences_s`` are the spans, as pairs of start and end, in which nothing is to be heard.
    """

    name: str
    seconds: float
    samples: int
    pcm_sha256: str
    language: str | None = None
    reference: str | None = None
    silences_s: list[tuple[float, float]] = []


class LeftOutInfo(Struct, frozen=True, kw_only=True):
    """An entry of a set that cannot be measured on, and why."""

    name: str
    reason: str


class ClipInfo(Struct, frozen=True, kw_only=True):
    """The audio: what it is, how long, and the hash of the samples that backends were fed.

    ``kind`` is ``clip`` (one recording), ``set`` (utterances) or ``durations`` (one reading cut to
    several lengths). A set's ``seconds`` and ``samples`` are sums, and its ``pcm_sha256`` is over
    the sorted lines ``name pcm_sha256``; ``utterances`` is empty for a single recording.
    """

    name: str
    seconds: float
    samples: int
    pcm_sha256: str
    source: str
    language: str | None = None
    reference: str | None = None
    silences_s: list[tuple[float, float]] = []
    kind: str = "clip"
    utterances: list[UtteranceInfo] = []
    left_out: list[LeftOutInfo] = []
    unscored: list[LeftOutInfo] = []


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
    passes: int = 2
    seed: int
    threads: int
    device: str
    precision: str
    max_time_s: float | None
    timeout_s: float | None
    retries: int
    fail_fast: bool
    max_failures: int | None
    max_memory_bytes: int | None
    backends_named: bool
    strict: bool = False
    repair: bool = False
    budget_s: float | None = None
    ci_width: float | None = None
    max_rounds: int | None = None
    margin: float | None = None
    reference_backend: str | None = None
    durations: list[float] = []
    affinity: list[int] | None = None
    nice: int = 0
    cold_load: bool = False
    retake: bool = True


class NoiseInfo(Struct, frozen=True, kw_only=True):
    """What ``speedtest noise`` found on this machine: the largest floor of all backends tried.

    ``floor`` and ``smallest_detectable`` are relative differences; ``spread`` is the standard
    deviation of one round's log ratio.
    ``rounds_for`` says how many rounds show a difference of so much (a fraction as text); ``None``
    where no number does. ``verdict`` is what was said of two identical cells at a margin of 2 %.
    """

    floor: float
    smallest_detectable: float
    spread: float
    ratio: float
    verdict: str
    rounds: int
    rounds_for: dict[str, int | None]
    backend: str
    model: str
    measured_at: str


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
    ``run_id`` is random, so that a run is known as the same one on another machine, where its
    number is another; it is empty before version 3. ``tags`` are what it was given by ``--tag``.
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
    noise: NoiseInfo | None = None
    run_id: str = ""
    tags: list[str] = []
