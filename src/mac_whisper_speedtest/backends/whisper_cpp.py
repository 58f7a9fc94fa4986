"""whisper.cpp through pywhispercpp: ggml on CPUs, Metal, CUDA, Vulkan and Core ML encoders."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends.adapter import (
    BackendUnavailableError,
    Loaded,
    ModelRequest,
    ModelUnusableError,
    Segment,
    Transcription,
    distribution_versions,
)
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, Effective

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BACKEND = Backend(
    name="whisper.cpp",
    adapter="mac_whisper_speedtest.backends.whisper_cpp:WhisperCpp",
    import_name="pywhispercpp",
    form="ggml",
    summary="whisper.cpp through pywhispercpp; CPU and Metal as published",
)

_MAGIC = 0x67676D6C
_FTYPES = {0: "float32", 1: "float16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1"}


class WhisperCpp:
    """One ``whisper_full`` call per transcription."""

    def import_library(self) -> Mapping[str, str]:
        """Import pywhispercpp; whisper.cpp's own version shows only in its library's file name."""
        try:
            import _pywhispercpp
            import pywhispercpp.model  # noqa: F401 - its import is part of what is timed
        except (ImportError, OSError) as error:
            raise BackendUnavailableError(f"pywhispercpp: {error}") from error
        versions = distribution_versions("pywhispercpp", "numpy")
        versions["version"] = versions["pywhispercpp"]
        return versions | _native_version(Path(_pywhispercpp.__file__).parent)

    def load(self, request: ModelRequest) -> Loaded:
        """Load a ggml file after checking its head: whisper.cpp crashes on what is not one."""
        if request.precision not in {"auto", "float16"}:
            raise ModelUnusableError(
                f"whisper.cpp computes in the precision of its file, not in {request.precision}"
            )
        if request.device not in {"auto", "cpu", "gpu", "metal", "cuda", "vulkan"}:
            raise ModelUnusableError(f"whisper.cpp has no device {request.device!r}")
        precision = _stored_precision(Path(request.path))
        import _pywhispercpp
        from pywhispercpp.model import Model

        self._model = Model(
            request.path,
            # False leaves the native log on stderr, where the harness keeps its tail.
            redirect_whispercpp_logs_to=False,
            context_params={"use_gpu": request.device != "cpu"},
            n_threads=request.threads,
            print_progress=False,
        )
        features = _pywhispercpp.whisper_print_system_info()
        system = features.decode() if isinstance(features, bytes) else str(features)
        return Loaded(
            device=_device(system, request.device),
            precision=precision,
            details={"system_info": system.strip()},
        )

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Parameters persist from call to call in pywhispercpp, so all are given every time."""
        beam = contract.beam_size > 1
        if beam:
            raise ModelUnusableError("beam search is chosen when a model is created")
        segments = self._model.transcribe(
            audio,
            language=contract.language,
            translate=contract.task == "translate",
            temperature=contract.temperatures[0],
            temperature_inc=_increment(contract.temperatures),
            greedy={"best_of": contract.best_of},
            # whisper.cpp's no_context is about earlier calls; this is about earlier windows.
            n_max_text_ctx=16384 if contract.condition_on_previous_text else 0,
            no_timestamps=not contract.timestamps,
            # The other backends suppress non-speech tokens by default; equal work means both do.
            suppress_nst=True,
            vad=contract.vad,
        )
        return Transcription(
            # pywhispercpp counts in units of 10 ms.
            segments=[Segment(s.t0 / 100, s.t1 / 100, s.text) for s in segments],
            language=contract.language,
        )

    def synchronize(self) -> None:
        """``whisper_full`` returns when the device has finished."""

    def effective(self, contract: DecodeContract) -> Effective:  # noqa: ARG002 - all is read back
        """Read back from the native parameter block that the call ran with."""
        used: Any = self._model._params  # type: ignore[attr-defined]  # noqa: SLF001
        first = round(float(used.temperature), 4)
        step = round(float(used.temperature_inc), 4)
        return Effective(
            values={
                "language": used.language,
                "task": "translate" if used.translate else "transcribe",
                "beam_size": 1,
                "best_of": used.greedy["best_of"],
                "temperatures": _ladder(first, step),
                "condition_on_previous_text": used.n_max_text_ctx != 0,
                "vad": bool(used.vad),
                "timestamps": not used.no_timestamps,
                "window": "sequential-30s",
                "batch_size": 1,
            },
            observed=(
                "language",
                "task",
                "best_of",
                "temperatures",
                "condition_on_previous_text",
                "vad",
                "timestamps",
            ),
            remarks=("pads the last window as audio, not as zeros in the mel spectrogram",),
        )

    def unload(self) -> None:
        """The context is freed when the object goes."""
        del self._model


def _stored_precision(path: Path) -> str:
    """The precision in a ggml file's header.

    Raises:
        ModelUnusableError: missing, too short or not a ggml file; whisper.cpp would segfault on it.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(48)
    except OSError as error:
        raise ModelUnusableError(f"cannot read {path.name}: {error.strerror}") from error
    if len(head) < 48 or struct.unpack_from("<I", head)[0] != _MAGIC:
        raise ModelUnusableError(f"{path.name} is not a ggml file")
    ftype = struct.unpack_from("<i", head, 44)[0] % 1000
    return _FTYPES.get(ftype, f"ftype {ftype}")


def _native_version(folder: Path) -> dict[str, str]:
    for library in sorted(folder.rglob("libwhisper*")):
        found = re.search(r"(\d+\.\d+\.\d+)", library.name)
        if found:
            return {"whisper.cpp": found[1]}
    return {}


def _device(system_info: str, requested: str) -> str:
    """``system_info`` lists what is compiled in; a GPU is used when one is, unless refused."""
    if requested == "cpu":
        return "cpu"
    for name, device in (("Metal", "metal"), ("CUDA", "cuda"), ("Vulkan", "vulkan")):
        if re.search(rf"\b{name}\b", system_info, re.IGNORECASE):
            return device
    return "cpu"


def _increment(temperatures: list[float]) -> float:
    """whisper.cpp climbs by a fixed step; 0 means no fallback."""
    return temperatures[1] - temperatures[0] if len(temperatures) > 1 else 0.0


def _ladder(first: float, step: float) -> list[float]:
    if step <= 0:
        return [first]
    return [round(first + step * rung, 4) for rung in range(int((1.0 - first) / step + 1e-6) + 1)]
