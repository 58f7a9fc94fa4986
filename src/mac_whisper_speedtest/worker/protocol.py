"""The protocol's messages as types, for both sides. Standard library only.

Types that adapters also use (`LoadParams`, `DecodeContract`, `Segment`) are defined in
``backends/``.

Every message is one line of JSON-RPC 2.0. The tool calls; the worker answers, and may send
``progress`` and ``log`` notifications at any time before its answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends.adapter import Segment
from mac_whisper_speedtest.backends.contract import DecodeContract, SettingValue
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.declared import Word

if TYPE_CHECKING:
    from typing import Self

PROTOCOL_VERSION = 1


class Method(Word):
    """The calls a worker answers, and what each asks for."""

    HELLO = "hello", "identify yourself; import libraries now, but load no weights"
    LOAD = "load", "load these weights completely, so that later calls load nothing"
    TRANSCRIBE = "transcribe", "transcribe this recording with these settings"
    UNLOAD = "unload", "drop the model and release its memory"
    SHUTDOWN = "shutdown", "answer, then exit with status 0"


class ErrorCode(IntEnum):
    """The codes of JSON-RPC, and this protocol's in the range that JSON-RPC leaves to servers."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """A code and when a worker uses it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    PARSE_ERROR = -32700, "the line is not JSON; `id` is null"
    INVALID_REQUEST = -32600, "JSON, but not a call; `id` is null if it has none"
    METHOD_NOT_FOUND = -32601, "the method is unknown"
    INVALID_PARAMS = -32602, "a parameter is missing or wrong, or `protocol` is another version"
    UNAVAILABLE = -32001, "the engine cannot run here: a library or hardware is missing"
    MODEL_UNUSABLE = -32002, "the weights are missing, damaged or in a wrong format"
    AUDIO_UNUSABLE = -32003, "the file is missing, empty, not finite, or of another size or rate"
    OUT_OF_MEMORY = -32004, "an allocation failed"
    BACKEND_ERROR = -32005, "any other error of the engine"
    WRONG_STATE = -32006, "`load` before `hello`, `transcribe` or `unload` before `load`"


class Stage(Word):
    """A stage in a worker's life; each has its own deadline."""

    SPAWN = "spawn", "the start of the process, until `hello` is answered"
    IMPORT = "import", "`progress` with this stage, until `hello` is answered"
    LOAD = "load", "the call `load`"
    WARMUP = "warmup", "the call `transcribe` of the kind `warmup`"
    TRANSCRIBE = "transcribe", "the call `transcribe` of the kind `timed`"
    UNLOAD = "unload", "the call `unload`"
    SHUTDOWN = "shutdown", "the call `shutdown`; then as long again for the exit"


class Allocator(Word):
    """Figures of a framework's own allocator that a Python worker reports, in bytes."""

    MLX_PEAK = "mlx_peak_bytes", "MLX: the highest of the process so far"
    MLX_ACTIVE = "mlx_active_bytes", "MLX: in use at that moment"
    MLX_CACHE = "mlx_cache_bytes", "MLX: kept for later at that moment"
    CUDA_PEAK = "torch_cuda_peak_bytes", "torch on CUDA, all GPUs: the highest that tensors took"
    CUDA_RESERVED = "torch_cuda_reserved_peak_bytes", "the highest that it had reserved for them"
    MPS_DRIVER = "torch_mps_driver_bytes", "torch on Metal: reserved at that moment"
    MPS_CURRENT = "torch_mps_current_bytes", "torch on Metal: in use at that moment"


@dataclass(frozen=True, slots=True)
class HelloParams:
    """The first call: it asks for the worker's identity.

    Attributes:
        protocol: the version that the tool speaks.
    """

    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class HelloResult:
    """The worker's identity.

    Attributes:
        protocol: the version that the worker speaks.
        name: of the engine; not empty.
        version: of the engine; not empty. Results of different versions are never mixed.
        versions: everything else that could change a number: libraries, compilers.
        import_s: seconds spent on importing libraries, by the worker's clock.
    """

    protocol: int
    name: str
    version: str
    versions: dict[str, str] = field(default_factory=dict)
    import_s: float | None = None


@dataclass(frozen=True, slots=True)
class LoadReply:
    """What was loaded, and how long it took.

    Attributes:
        load_s: seconds this call took, by a monotonic clock.
        device: the device in use; any but ``cpu`` is warmed up for at least a second.
        precision: the precision in use, such as ``float32``.
        details: facts for the record.
        peak_rss_before_bytes: highest resident memory before this call, where known.
        peak_rss_bytes: highest resident memory after it, where known.
        gpu: the NVIDIA GPU in use, which is then metered; null for any other device.
    """

    load_s: float
    device: str
    precision: str
    details: dict[str, str] = field(default_factory=dict)
    peak_rss_before_bytes: int | None = None
    peak_rss_bytes: int | None = None
    gpu: UsedGpu | None = None


@dataclass(frozen=True, slots=True)
class AudioParams:
    """A file of raw little-endian float32 samples: mono, without header or trailer.

    Attributes:
        path: of the file.
        samples: their number, of 4 bytes each; another size is an error.
        sample_rate: samples per second; always 16000.
    """

    path: str
    samples: int
    sample_rate: int = 16000


@dataclass(frozen=True, slots=True)
class TranscribeParams:
    """Decode this recording under this contract.

    Attributes:
        audio: the recording.
        contract: the settings; the engine chooses a setting that is null.
        kind: ``warmup`` or ``timed``. Do the same work for both.
    """

    audio: AudioParams
    contract: DecodeContract
    kind: str = "timed"


@dataclass(frozen=True, slots=True)
class TranscribeResult:
    """The transcript, and how long it took.

    Attributes:
        seconds: from samples in memory to all of the text out, by a monotonic clock.
        text: the whole transcript, unchanged.
        segments: the same text in pieces, with times.
        language: the language that was used for decoding, where known.
        tokens: decoded tokens, where known.
        effective: contract setting → value that was used, for every setting; null if it is unknown
            or does not apply.
        observed: the settings in ``effective`` that were read back from the engine.
        remarks: differences that no setting expresses.
        cpu_s: processor time of the worker process during the call (all threads), where known.
        peak_rss_bytes: highest resident memory of the worker process so far, where known.
        fallbacks: segments that were decoded again at a higher temperature, where known.
        first_segment_s: from samples in memory to the first segment, where segments stream.
        stages_s: seconds by stage (``mel``, ``encode``, ``decode``), where the engine reports them.
        allocator_bytes: memory that the engine's own allocators report, by name.
    """

    seconds: float
    text: str
    segments: list[Segment] = field(default_factory=list)
    language: str | None = None
    tokens: int | None = None
    effective: dict[str, SettingValue] = field(default_factory=dict)
    observed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    fallbacks: int | None = None
    first_segment_s: float | None = None
    stages_s: dict[str, float] = field(default_factory=dict)
    allocator_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgressParams:
    """A notification: the worker has reached a stage; its deadline begins.

    Attributes:
        stage: its name; each counts once per call, and an unknown one is ignored.
        message: one line for people.
    """

    stage: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class LogParams:
    """A notification: a line for the log.

    Attributes:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        message: the line.
    """

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorData:
    """Details of an error.

    Attributes:
        error_class: the exception's class.
        traceback: where it was raised.
    """

    error_class: str = ""
    traceback: str = ""
