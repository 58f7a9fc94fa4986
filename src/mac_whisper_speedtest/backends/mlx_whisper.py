"""mlx-whisper: Apple's MLX; Metal on Apple Silicon, CUDA or a slow CPU build on Linux."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
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
    name="mlx-whisper",
    adapter="mac_whisper_speedtest.backends.mlx_whisper:MlxWhisper",
    import_name="mlx_whisper",
    form="mlx",
    # mlx-whisper never casts weights: computing in another precision than theirs widens them again
    # at every use. Half precision is native to Metal and CUDA; MLX's CPU build emulates it.
    weights_precision="float16" if sys.platform == "darwin" else "float32",
    weights_follow_precision=True,
    summary="MLX; Metal on Apple Silicon, slow CPU build on Linux (tests only)",
)


class MlxWhisper:
    """``mlx_whisper.transcribe`` with its model holder filled beforehand."""

    def import_library(self) -> Mapping[str, str]:
        """Import mlx and mlx_whisper; on Linux a plain ``mlx`` lacks its native library."""
        try:
            import mlx.core as mx
            import mlx_whisper
        except (ImportError, OSError) as error:
            raise BackendUnavailableError(f"mlx_whisper: {error}") from error
        return {
            "version": mlx_whisper.__version__,
            "mlx": mx.__version__,
            **distribution_versions("mlx-metal", "numpy", "tiktoken"),
        }

    def load(self, request: ModelRequest) -> Loaded:
        """Fill the library's own model holder, so that the first call does not load again."""
        import mlx.core as mx
        from mlx_whisper.transcribe import ModelHolder

        if request.device == "cpu":
            mx.set_default_device(mx.cpu)
        elif request.device not in {"auto", "gpu", "metal", "cuda"}:
            raise ModelUnusableError(f"MLX has no device {request.device!r}")
        precision = BACKEND.weights_precision if request.precision == "auto" else request.precision
        if precision not in {"float16", "float32"}:
            raise ModelUnusableError(f"mlx-whisper computes in float16 or float32, not {precision}")
        self._path = request.path
        self._half = precision == "float16"
        try:
            model = ModelHolder.get_model(request.path, getattr(mx, precision))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelUnusableError(f"{type(error).__name__}: {error}") from error
        self._watch = _DecodeWatch(model)
        return Loaded(
            device=_device_name(mx.default_device(), metal=mx.metal.is_available()),
            precision=precision,
        )

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """A scalar temperature switches the library's fallback ladder off, a tuple on."""
        import mlx_whisper

        if contract.vad:
            raise ModelUnusableError("mlx-whisper has no voice-activity detection")
        ladder = contract.temperatures
        self._watch.clear()
        result = mlx_whisper.transcribe(
            audio,
            path_or_hf_repo=self._path,
            language=contract.language,
            task=contract.task,
            temperature=ladder[0] if len(ladder) == 1 else tuple(ladder),
            beam_size=None if contract.beam_size == 1 else contract.beam_size,
            best_of=None if contract.best_of == 1 else contract.best_of,
            condition_on_previous_text=contract.condition_on_previous_text,
            without_timestamps=not contract.timestamps,
            fp16=self._half,
            verbose=None,
        )
        return Transcription(
            segments=[Segment(s["start"], s["end"], s["text"]) for s in result["segments"]],
            language=result["language"],
            tokens=sum(len(s["tokens"]) for s in result["segments"]),
            text=result["text"],
        )

    def synchronize(self) -> None:
        """MLX computes lazily and asynchronously: wait for whatever is still queued."""
        import mlx.core as mx

        mx.synchronize()

    def effective(self, contract: DecodeContract) -> Effective:
        """Read back from the options that each 30 s window was really decoded with."""
        windows = self._watch.options
        if not windows:
            return Effective(values={})
        last = windows[-1]
        tried = sorted({float(options.temperature) for options in windows})
        return Effective(
            values={
                "language": last.language,
                "task": last.task,
                "beam_size": last.beam_size or 1,
                "best_of": last.best_of or 1,
                # Higher rungs are only seen when a window fell back, so the ladder itself is
                # what was passed in unless more was seen.
                "temperatures": contract.temperatures if tried[:1] == [0.0] else tried,
                "condition_on_previous_text": contract.condition_on_previous_text
                or any(options.prompt for options in windows),
                "vad": False,
                "timestamps": not last.without_timestamps,
                "window": "sequential-30s",
                "batch_size": 1,
            },
            observed=("language", "task", "beam_size", "best_of", "timestamps"),
        )

    def unload(self) -> None:
        """Empty the library's holder and MLX's buffer cache."""
        import mlx.core as mx
        from mlx_whisper.transcribe import ModelHolder

        ModelHolder.model = ModelHolder.model_path = None
        del self._watch
        gc.collect()
        mx.clear_cache()


class _DecodeWatch:
    """Keeps the options of every window that a model decodes: one append per 30 s of audio."""

    def __init__(self, model: Any) -> None:  # mlx_whisper is untyped
        self.options: list[Any] = []
        decode = model.decode

        def watched(mel: Any, options: Any, **extra: Any) -> Any:
            self.options.append(options)
            return decode(mel, options, **extra)

        model.decode = watched

    def clear(self) -> None:
        self.options.clear()


def _device_name(device: Any, *, metal: bool) -> str:
    """MLX calls Metal and CUDA both ``gpu``."""
    if "gpu" not in str(device):
        return "cpu"
    return "metal" if metal else "cuda"
