"""The worker process's loop: reads calls, runs one adapter, answers. Never touches stdout.

Imports the standard library only; numpy comes with the first recording, the backend's library with
``hello``.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from mac_whisper_speedtest.backends.adapter import (
    Adapter,
    BackendUnavailableError,
    Breakdown,
    DecodedSegment,
    LoadParams,
    ModelParams,
    ModelUnusableError,
    Segment,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.cuda import used_gpu
from mac_whisper_speedtest.worker import protocol as m

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

T = TypeVar("T")

_TRACEBACK_CHARACTERS = 4000
_OUT_OF_MEMORY_WORDS = ("out of memory", "bad_alloc", "failed to allocate", "insufficient memory")


# Memory that the frameworks' own allocators report. Nothing is imported here: a framework that the
# backend has not imported has no memory.


def allocator_bytes() -> dict[str, int]:
    """Bytes by figure, of the frameworks that are in use; empty if none is.

    Call it after the device was synchronized. Never raises; unavailable figures are left out.
    """
    found: dict[str, int] = {}
    for name, query in _allocator_queries():
        value = _value_or_none(query)
        if isinstance(value, int | float):
            found[name] = int(value)
    return found


def _imported() -> tuple[Any, Any]:
    """MLX's core and torch, each ``None`` unless the backend has imported it."""
    return sys.modules.get("mlx.core"), sys.modules.get("torch")


def _allocator_queries() -> Iterator[tuple[str, Callable[[], Any]]]:
    mlx, torch = _imported()
    if mlx is not None:
        yield m.Allocator.MLX_PEAK, lambda: _mlx(mlx, "get_peak_memory")
        yield m.Allocator.MLX_ACTIVE, lambda: _mlx(mlx, "get_active_memory")
        yield m.Allocator.MLX_CACHE, lambda: _mlx(mlx, "get_cache_memory")
    if torch is None:
        return
    if _cuda_in_use(torch):
        yield m.Allocator.CUDA_PEAK, lambda: sum(_on_all_gpus(torch, "max_memory_allocated"))
        yield (
            m.Allocator.CUDA_RESERVED,
            lambda: sum(_on_all_gpus(torch, "max_memory_reserved")),
        )
    if _value_or_none(lambda: _call(torch, "backends.mps.is_available")):
        yield m.Allocator.MPS_DRIVER, lambda: _call(torch, "mps.driver_allocated_memory")
        yield m.Allocator.MPS_CURRENT, lambda: _call(torch, "mps.current_allocated_memory")


def _cuda_in_use(torch: Any) -> bool:
    # A memory query would initialize CUDA if the backend has not.
    return bool(_value_or_none(lambda: _call(torch, "cuda.is_initialized")))


def _on_all_gpus(torch: Any, name: str) -> list[Any]:
    query = attrgetter(f"cuda.{name}")(torch)
    return [query(device) for device in range(torch.cuda.device_count())]


def _mlx(mlx: Any, name: str) -> Any:
    """Call a function of MLX; releases of early 2025 and before have it under ``metal`` only."""
    return _call(mlx, name if hasattr(mlx, name) else f"metal.{name}")


def _call(module: Any, path: str) -> Any:
    return attrgetter(path)(module)()


def _value_or_none(query: Callable[[], Any]) -> Any:
    """What ``query`` returns; ``None`` if this release of the framework does not support it."""
    try:
        return query()
    except Exception:  # noqa: BLE001 - a framework may raise anything; it costs one figure
        return None


class _CallError(Exception):
    """An error that becomes a JSON-RPC error answer."""

    def __init__(self, code: m.ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def serve(protocol_in: int, protocol_out: int, target: str) -> int:
    """Answer calls until ``shutdown`` or the end of input; return the process's exit status.

    Args:
        protocol_in: file descriptor that calls arrive on.
        protocol_out: file descriptor that answers leave on.
        target: ``module:Class`` of the adapter.
    """
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    leaving = threading.Event()
    stream = os.fdopen(protocol_in, "rb")
    reader = threading.Thread(target=_read, args=(stream, lines, leaving), daemon=True)
    reader.start()
    with os.fdopen(protocol_out, "wb", buffering=0) as out:
        session = _Session(out, target, leaving)
        while not leaving.is_set():
            session.answer(lines.get())
    return 0


def _read(stream: BinaryIO, lines: queue.SimpleQueue[bytes], leaving: threading.Event) -> None:
    """Queue every line; at the end of input exit at once, even while the backend computes."""
    for line in stream:
        lines.put(line)
    if leaving.is_set():
        return  # shutdown was answered: the process is on its way to exit status 0
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with every process that the backend has started
    os._exit(0)


class _Session:
    """One worker's state: the adapter after ``hello``, and whether weights are loaded."""

    def __init__(self, out: Any, target: str, leaving: threading.Event) -> None:
        self._out = out  # a raw binary stream
        self._target = target
        self._adapter: Adapter | None = None
        self._loaded = False
        self._audio: tuple[tuple[str, int], Audio] | None = None
        self._leaving = leaving

    def answer(self, line: bytes) -> None:
        """Carry out one call and write its answer; a notification gets none."""
        identity: Any = None
        expected = True
        try:
            request = _parse(line)
            expected = "id" in request
            identity = request.get("id")
            result = self._dispatch(request["method"], request.get("params") or {})
            # Encoding is part of the try: a backend's NaN is that backend's error.
            reply = _encode({"jsonrpc": "2.0", "id": identity, "result": result})
        except Exception as error:  # noqa: BLE001 - anything a backend raises is answered
            reply = _encode({"jsonrpc": "2.0", "id": identity, "error": _describe(error)})
        if expected:
            self._write(reply)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._out.write(data) :]

    def _progress(self, stage: m.Stage) -> None:
        params = asdict(m.ProgressParams(stage=stage))
        self._write(_encode({"jsonrpc": "2.0", "method": "progress", "params": params}))

    def _dispatch(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if method == m.Method.HELLO:
            return self._hello(_build(m.HelloParams, params))
        if method == m.Method.LOAD:
            return self._load(_build(LoadParams, params))
        if method == m.Method.TRANSCRIBE:
            return self._transcribe(_build(m.TranscribeParams, params))
        if method == m.Method.UNLOAD:
            self._ready(loaded=True).unload()
            self._loaded = False
            return {}
        if method == m.Method.SHUTDOWN:
            self._leaving.set()
            return {}
        raise _CallError(m.ErrorCode.METHOD_NOT_FOUND, f"no method {method!r}")

    def _hello(self, params: m.HelloParams) -> Mapping[str, Any]:
        if params.protocol != m.PROTOCOL_VERSION:
            raise _CallError(
                m.ErrorCode.INVALID_PARAMS,
                f"this worker speaks protocol {m.PROTOCOL_VERSION}, not {params.protocol}",
            )
        self._progress(m.Stage.IMPORT)
        started = time.perf_counter()
        module, _, name = self._target.partition(":")
        try:
            adapter: Adapter = getattr(importlib.import_module(module), name)()
        except (ImportError, AttributeError) as error:
            raise BackendUnavailableError(f"the adapter {self._target}: {error}") from error
        versions = dict(adapter.import_library())
        import_s = time.perf_counter() - started
        self._adapter = adapter
        versions["python"] = ".".join(map(str, sys.version_info[:3]))
        return asdict(
            m.HelloResult(
                protocol=m.PROTOCOL_VERSION,
                name=name,
                version=versions.pop("version", "unknown"),
                versions=versions,
                import_s=import_s,
            )
        )

    def _load(self, params: LoadParams) -> Mapping[str, Any]:
        adapter = self._ready()
        params = replace(params, model=_build(ModelParams, params.model))
        self._loaded = False  # a failed load may leave an earlier model half released
        peak_before = _peak_rss_bytes()
        started = time.perf_counter()
        loaded = adapter.load(params)
        load_s = time.perf_counter() - started
        self._loaded = True
        return asdict(
            m.LoadReply(
                load_s=load_s,
                device=loaded.device,
                precision=loaded.precision,
                details=dict(loaded.details),
                peak_rss_before_bytes=peak_before,
                peak_rss_bytes=_peak_rss_bytes(),
                gpu=used_gpu(loaded.device),
            )
        )

    def _transcribe(self, params: m.TranscribeParams) -> Mapping[str, Any]:
        adapter = self._ready(loaded=True)
        contract = _build(DecodeContract, params.contract)
        audio = self._samples(_build(m.AudioParams, params.audio))

        # The clock runs around exactly this: samples in memory in, all of the text out.
        cpu_before = time.process_time()
        started = time.perf_counter()
        transcription = adapter.transcribe(audio, contract)
        streams = isinstance(transcription.segments, Iterator)
        first_segment_s: float | None = None
        pieces = []
        for piece in transcription.segments:
            if streams and first_segment_s is None:
                first_segment_s = time.perf_counter() - started
            pieces.append(piece)
        segments = [_plain(piece) for piece in pieces]
        adapter.synchronize()
        seconds = time.perf_counter() - started
        cpu_s = time.process_time() - cpu_before

        effective: EffectiveSettings = adapter.effective(contract)
        breakdown = transcription.breakdown() if transcription.breakdown else Breakdown()
        fallbacks = breakdown.fallbacks
        text = transcription.text
        return asdict(
            m.TranscribeResult(
                seconds=seconds,
                text="".join(piece.text for piece in segments) if text is None else text,
                segments=[_within(piece, len(audio) / 16000) for piece in segments],
                language=transcription.language,
                tokens=transcription.tokens,
                effective=dict(effective.values),
                observed=list(effective.observed),
                remarks=list(effective.remarks),
                cpu_s=cpu_s,
                peak_rss_bytes=_peak_rss_bytes(),
                fallbacks=_fallbacks(pieces, contract) if fallbacks is None else fallbacks,
                first_segment_s=first_segment_s,
                stages_s={name: float(value) for name, value in breakdown.stages_s.items()},
                allocator_bytes=allocator_bytes(),
            )
        )

    def _ready(self, *, loaded: bool = False) -> Adapter:
        if self._adapter is None:
            raise _CallError(m.ErrorCode.WRONG_STATE, "call hello first")
        if loaded and not self._loaded:
            raise _CallError(m.ErrorCode.WRONG_STATE, "load a model first")
        return self._adapter

    def _samples(self, audio: m.AudioParams) -> Audio:
        """The recording; cached, because one file is transcribed many times."""
        key = (audio.path, audio.samples)
        if self._audio is None or self._audio[0] != key:
            import numpy as np

            try:
                samples = np.fromfile(audio.path, dtype="<f4")
            except OSError as error:
                raise _CallError(
                    m.ErrorCode.AUDIO_UNUSABLE, f"cannot read audio: {error}"
                ) from error
            if audio.sample_rate != 16000 or samples.size != audio.samples or samples.size == 0:
                raise _CallError(
                    m.ErrorCode.AUDIO_UNUSABLE,
                    f"expected {audio.samples} samples at 16000 Hz, the file has {samples.size} "
                    f"and its rate is given as {audio.sample_rate} Hz",
                )
            if not np.isfinite(samples).all():
                raise _CallError(
                    m.ErrorCode.AUDIO_UNUSABLE, "the audio has NaN or infinite samples"
                )
            self._audio = (key, np.ascontiguousarray(samples, dtype=np.float32))
        return self._audio[1]


def _fallbacks(pieces: Sequence[Segment], contract: DecodeContract) -> int | None:
    """Segments decoded above the ladder's first temperature; ``None`` if unknown."""
    known = [
        piece.temperature
        for piece in pieces
        if isinstance(piece, DecodedSegment) and piece.temperature is not None
    ]
    first = contract.temperatures[0] if contract.temperatures else 0.0
    return sum(temperature > first for temperature in known) if known else None


def _plain(segment: Segment) -> Segment:
    """The segment with Python numbers: libraries also return numpy's."""
    return Segment(float(segment.start_s), float(segment.end_s), str(segment.text))


def _within(segment: Segment, audio_s: float) -> Segment:
    """The segment within the audio and Whisper's last window, which is padded to 30 s.

    Libraries compute times from tokens that need not be timestamps: at a high temperature, and
    whisper.cpp whenever it decodes without timestamps, they can be minutes before the audio.
    """
    start_s, end_s = (
        min(max(at_s, 0.0), audio_s + 30.0) if math.isfinite(at_s) else at_s
        for at_s in (segment.start_s, segment.end_s)
    )
    return Segment(start_s, end_s, segment.text)


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _build(kind: type[T], params: Any) -> T:  # params: decoded JSON
    """Build a ``kind`` from a JSON object; keys that only a newer tool knows are ignored."""
    try:
        known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
        return kind(**{key: value for key, value in params.items() if key in known})
    except (AttributeError, TypeError) as error:
        raise _CallError(m.ErrorCode.INVALID_PARAMS, f"{kind.__name__}: {error}") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _CallError(m.ErrorCode.PARSE_ERROR, f"not JSON: {error}") from error
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise _CallError(m.ErrorCode.INVALID_REQUEST, "not a JSON-RPC call")
    return request


def _describe(error: Exception) -> dict[str, Any]:
    if isinstance(error, _CallError):
        code = error.code
    elif isinstance(error, BackendUnavailableError):
        code = m.ErrorCode.UNAVAILABLE
    elif isinstance(error, ModelUnusableError):
        code = m.ErrorCode.MODEL_UNUSABLE
    elif isinstance(error, MemoryError) or any(
        words in str(error).lower() for words in _OUT_OF_MEMORY_WORDS
    ):
        code = m.ErrorCode.OUT_OF_MEMORY
    else:
        code = m.ErrorCode.BACKEND_ERROR
    trace = "".join(traceback.format_exception(error))
    if len(trace) > _TRACEBACK_CHARACTERS:
        # Whole lines: the tool cannot recognize half of a secret.
        trace = trace[-_TRACEBACK_CHARACTERS:].partition("\n")[2]
    data = m.ErrorData(error_class=type(error).__name__, traceback=trace)
    return {"code": int(code), "message": str(error) or type(error).__name__, "data": asdict(data)}


def _peak_rss_bytes() -> int | None:
    """The highest resident memory of this process; ``None`` if unknown.

    Linux: ``VmHWM``, because ``ru_maxrss`` there also remembers the parent's size from before
    exec. macOS: ``ru_maxrss``, which is in bytes there (getrusage(2)).
    """
    if os.uname().sysname == "Linux":
        try:
            with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
                for line in status:
                    if line.startswith("VmHWM:"):
                        return int(line.split()[1]) * 1024
        except OSError:
            return None
        return None
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
