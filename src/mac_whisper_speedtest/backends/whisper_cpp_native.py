"""The parameters of whisper.cpp and its forks, and their reports.

Of a library these functions need whisper.cpp's C functions under their own names: pywhispercpp's
module has them, and `crispasr_native.Library`.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import (
    Breakdown,
    LoadedModel,
    ModelUnusableError,
    Segment,
    without_none,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, SettingValue

_MAGIC = 0x67676D6C
_FTYPES = {0: "float32", 1: "float16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1"}
_QUANTIZATION_FACTOR = 1000  # a quantized file's type number is this × format version + type

_DEVICES = {"MTL": "metal", "METAL": "metal", "CUDA": "cuda", "VULKAN": "vulkan"}
NOT_LOGGED = "not known: whisper.cpp did not log it"


@dataclass(frozen=True, slots=True)
class Initialized:
    """The devices that a model's initialization started, from its log.

    Attributes:
        device: ``cpu``, ``metal``, ``cuda``, ``vulkan``; ``coreml`` if the encoder runs in Core ML;
            ``unknown`` if the log does not name it.
        backend: whisper.cpp's name for its GPU, such as ``MTL0``; ``CPU`` without one.
        coreml: ``loaded``, ``failed`` (the encoder then runs elsewhere) or ``not tried``.
        accelerators: its names for accelerators of the CPU, such as ``BLAS``.
    """

    device: str
    backend: str
    coreml: str
    accelerators: tuple[str, ...] = ()


def initialized(log: Sequence[str]) -> Initialized:
    """Parse the log lines that whisper.cpp 1.7 to 1.9 write while a model is initialized.

    ``whisper_backend_init_gpu`` starts a GPU; ``whisper_backend_init`` then starts accelerators of
    the CPU, with the same words in the log. A device that fails to start is not used.
    """
    text = "\n".join(log)
    coreml = "not tried"
    if "Core ML model loaded" in text:
        coreml = "loaded"
    elif "failed to load Core ML model" in text:
        coreml = "failed"
    gpus, looked = _started(text, "whisper_backend_init_gpu")
    accelerators, after = _started(text, "whisper_backend_init")
    if not gpus and not (looked or after or re.search(r"use gpu\s*= 0", text)):
        return Initialized("coreml" if coreml == "loaded" else "unknown", NOT_LOGGED, coreml)
    backend = gpus[0] if gpus else "CPU"
    device = _DEVICES.get(backend.rstrip("0123456789").upper(), backend.lower())
    return Initialized("coreml" if coreml == "loaded" else device, backend, coreml, accelerators)


def _started(text: str, function: str) -> tuple[tuple[str, ...], bool]:
    """The backends that a function of whisper.cpp started, and whether it logged anything."""
    lines = re.findall(rf"^{function}: (.*)$", text, re.MULTILINE)
    used = [
        line.removeprefix("using ").removesuffix(" backend") for line in lines if "using" in line
    ]
    started = (name for name in used if f"failed to initialize {name} backend" not in lines)
    return tuple(started), bool(lines)


def loaded(library: Any, log: Sequence[str], precision: str) -> LoadedModel:
    """The devices that a model's initialization started, and the library's compile options."""
    started = initialized(log)
    features = library.whisper_print_system_info()
    system = features.decode() if isinstance(features, bytes) else str(features)
    details = {
        "system_info": system.strip(),
        "backend": started.backend,
        "coreml": started.coreml,
        **({"blas": ", ".join(started.accelerators)} if started.accelerators else {}),
    }
    return LoadedModel(started.device, precision, details)


@contextmanager
def init_log(library: Any, *, show: bool = True) -> Iterator[list[str]]:
    """Collect whisper.cpp's log lines; with ``show``, also write each to stderr immediately.

    Never use it around a timed call: the Python callback would cost time.
    """
    lines: list[str] = []
    set_log = getattr(library, "whisper_log_set", None)  # pywhispercpp has it since 1.5
    if set_log is None:
        yield lines
        return

    def keep(_level: int, text: str) -> None:
        lines.append(text.rstrip("\n"))
        if show:
            sys.stderr.write(text)

    set_log(keep)
    try:
        yield lines
    finally:
        set_log(None)


class Counters:
    """whisper.cpp's counters of one model's calls.

    Each breakdown covers the calls since the previous breakdown, or since loading.
    """

    def __init__(self, library: Any, context: Any) -> None:
        self._library, self._context = library, context
        self._fallbacks = 0

    def breakdown(self) -> Breakdown:
        """Read the counters, and reset them if possible: the count of fallbacks only grows."""
        if not hasattr(self._library, "whisper_print_timings"):
            return Breakdown()
        with init_log(self._library, show=False) as lines:
            self._library.whisper_print_timings(self._context)
        self._library.whisper_reset_timings(self._context)
        found = parse_timings(lines)
        if found.fallbacks is None:
            return found
        before, self._fallbacks = self._fallbacks, found.fallbacks
        return replace(found, fallbacks=found.fallbacks - before)


def parse_timings(log: Sequence[str]) -> Breakdown:
    """Parse the output of ``whisper_print_timings`` of whisper.cpp 1.7 to 1.9, in milliseconds.

    In its ``fallbacks = N p / M h``, p counts windows that were decoded again, for any reason; h
    counts texts that repeat themselves, which p also counts unless it was the last try. Load and
    total time are not stages of a call.
    """
    text = "\n".join(log)
    stages = {
        name: float(milliseconds) / 1000
        for name, milliseconds in re.findall(r"(\w+) time\s*=\s*([\d.]+) ms", text)
        if name not in {"load", "total"}
    }
    fallbacks = re.search(r"fallbacks\s*=\s*(\d+) p", text)
    return Breakdown(stages, int(fallbacks[1]) if fallbacks else None)


def stored_precision(path: Path, requested: str) -> str:
    """The precision in a ggml file's header, in which whisper.cpp computes.

    Raises:
        ModelUnusableError: missing, too short or not a ggml file, on which whisper.cpp would
            segfault; or another precision is requested.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(48)
    except OSError as error:
        raise ModelUnusableError(f"cannot read {path.name}: {error.strerror}") from error
    if len(head) < 48 or struct.unpack_from("<I", head)[0] != _MAGIC:
        raise ModelUnusableError(f"{path.name} is not a ggml file")
    ftype = struct.unpack_from("<i", head, 44)[0] % _QUANTIZATION_FACTOR
    stored = _FTYPES.get(ftype, f"ftype {ftype}")
    if requested not in {"auto", stored}:
        raise ModelUnusableError(
            f"whisper.cpp computes in the precision of its file, which is {stored}, not {requested}"
        )
    return stored


def library_version(folder: Path) -> dict[str, str]:
    """whisper.cpp's version, from the file name of the bundled library."""
    for library in sorted(folder.rglob("libwhisper*")):
        found = re.search(r"(\d+\.\d+\.\d+)", library.name)
        if found:
            return {"whisper.cpp": found[1]}
    return {}


def segments(library: Any, context: Any) -> list[Segment]:
    """The segments of the last call, with whisper.cpp's own text.

    pywhispercpp strips the spaces at both ends of every segment, and with them the gap between the
    words of two segments. whisper.cpp's times are in units of 10 ms.
    """
    return [
        Segment(
            library.whisper_full_get_segment_t0(context, index) / 100,
            library.whisper_full_get_segment_t1(context, index) / 100,
            library.whisper_full_get_segment_text(context, index).decode("utf-8", errors="replace"),
        )
        for index in range(library.whisper_full_n_segments(context))
    ]


def language(library: Any, context: Any) -> str | None:
    """The language of the last call's decoding."""
    word = library.whisper_lang_str(library.whisper_full_lang_id(context))
    return word.decode() if isinstance(word, bytes) else word


def arguments(contract: DecodeContract) -> dict[str, Any]:
    """The contract as fields of whisper.cpp's parameters; a group is a dictionary."""
    ladder, condition = contract.temperatures, contract.condition_on_previous_text
    found = without_none(
        language=contract.language,
        translate=None if contract.task is None else contract.task == "translate",
        temperature=None if ladder is None else ladder[0],
        # whisper.cpp raises the temperature by a fixed step; 0 means no fallback.
        temperature_inc=None if ladder is None else (ladder[1] - ladder[0] if ladder[1:] else 0.0),
        greedy=None if contract.best_of is None else {"best_of": contract.best_of},
        # whisper.cpp's no_context is about earlier calls; this is about earlier windows.
        n_max_text_ctx=None if condition is None else (16384 if condition else 0),
        no_timestamps=None if contract.timestamps is None else not contract.timestamps,
        vad=contract.vad,
    )
    if contract.name != "as-shipped":
        # The other backends suppress non-speech tokens by default; equal work means both do.
        found["suppress_nst"] = True
    if strategy(contract):
        found["beam_search"] = {"beam_size": contract.beam_size, "patience": -1.0}
    return found


def strategy(contract: DecodeContract) -> int:
    """whisper.cpp's number for the search: 0 greedy, 1 with beams."""
    return int((contract.beam_size or 1) > 1)


def read_back(used: Any, language: str | None) -> dict[str, SettingValue]:
    """The settings in the last call's parameters, and the language that it reports."""
    beam = int(used.strategy) == 1
    return {
        "language": language,
        "task": "translate" if used.translate else "transcribe",
        "beam_size": used.beam_search["beam_size"] if beam else 1,
        "best_of": used.greedy["best_of"],
        "temperatures": _ladder(float(used.temperature), float(used.temperature_inc)),
        "condition_on_previous_text": used.n_max_text_ctx != 0,
        "vad": bool(used.vad),
        "timestamps": not used.no_timestamps,
    }


def _ladder(first: float, step: float) -> list[float]:
    """The temperatures from the first to 1 in fixed steps; a step of 0 means only the first."""
    first, step = round(first, 4), round(step, 4)  # they are float32 there
    if step <= 0:
        return [first]
    return [round(first + step * index, 4) for index in range(int((1.0 - first) / step + 1e-6) + 1)]
