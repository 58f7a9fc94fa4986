"""The protocol's messages as types, for both sides. Standard library only; see docs/protocol.md.

Types that adapters also use (`LoadParams`, `DecodeContract`, `Segment`) are defined in
``backends/``.

Every message is one line of JSON-RPC 2.0. The tool calls; the worker answers, and may send
``progress`` and ``log`` notifications at any time before its answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from mac_whisper_speedtest.backends.adapter import Segment
from mac_whisper_speedtest.backends.contract import DecodeContract, SettingValue
from mac_whisper_speedtest.backends.cuda import UsedGpu

PROTOCOL_VERSION = 1


class Method(StrEnum):
    """The calls a worker answers."""

    HELLO = "hello"
    LOAD = "load"
    TRANSCRIBE = "transcribe"
    UNLOAD = "unload"
    SHUTDOWN = "shutdown"


class ErrorCode(IntEnum):
    """JSON-RPC's own codes, and this protocol's in the range JSON-RPC leaves to servers."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    UNAVAILABLE = -32001
    MODEL_UNUSABLE = -32002
    AUDIO_UNUSABLE = -32003
    OUT_OF_MEMORY = -32004
    BACKEND_ERROR = -32005
    WRONG_STATE = -32006


class Stage(StrEnum):
    """A stage in a worker's life; each has its own deadline."""

    SPAWN = "spawn"
    IMPORT = "import"
    LOAD = "load"
    WARMUP = "warmup"
    TRANSCRIBE = "transcribe"
    UNLOAD = "unload"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class HelloParams:
    """The first call: it asks for the worker's identity."""

    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class HelloResult:
    """The worker's identity. ``versions`` has everything else that could change a number."""

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
        device: the device in use.
        precision: the precision in use.
        details: facts for the record.
        peak_rss_before_bytes: highest resident memory before this call, where known.
        peak_rss_bytes: highest resident memory after it, where known.
        gpu: the NVIDIA GPU in use, which is then metered; ``None`` for any other device.
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
    """A file of raw little-endian float32 samples: 16 kHz, mono, nothing before or after them."""

    path: str
    samples: int
    sample_rate: int = 16000


@dataclass(frozen=True, slots=True)
class TranscribeParams:
    """Decode this recording under this contract. ``kind`` is ``warmup`` or ``timed``."""

    audio: AudioParams
    contract: DecodeContract
    kind: str = "timed"


@dataclass(frozen=True, slots=True)
class TranscribeResult:
    """The transcript, and how long it took.

    Attributes:
        seconds: from samples in memory to all of the text out, by a monotonic clock.
        text: the whole transcript, untouched.
        segments: the same in pieces.
        language: the language it was decoded as, where known.
        tokens: decoded tokens, where known.
        effective: contract setting → value that was used.
        observed: the settings in ``effective`` that were read back from the library.
        remarks: differences no setting expresses.
        cpu_s: processor time of the worker process during the call (all threads), where known.
        peak_rss_bytes: highest resident memory of the worker process so far, where known.
        fallbacks: segments that were decoded again at a higher temperature, where known.
        first_segment_s: from samples in memory to the first segment, where segments stream.
        stages_s: seconds by stage (``mel``, ``encode``, ``decode``), where reported.
        allocator_bytes: memory that the library's own allocators report, by name.
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
    """A notification: the worker has reached ``stage``. Each stage counts once per call."""

    stage: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class LogParams:
    """A notification: a line for the log. ``level`` is debug, info, warning or error."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorData:
    """Details of an error: the exception's class and its traceback."""

    error_class: str = ""
    traceback: str = ""
