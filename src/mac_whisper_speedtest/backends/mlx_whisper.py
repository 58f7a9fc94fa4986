"""mlx-whisper: Apple's MLX; Metal on Apple Silicon, CUDA or a slow CPU build on Linux."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.adapter import (
    DecodedSegment,
    LoadedModel,
    LoadParams,
    Transcription,
    effective,
)
from mac_whisper_speedtest.backends.backend import Backend, Recipe
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="mlx-whisper",
    distribution="mlx-whisper",
    version="0.4.3",
    requirements=mlx_runtime.REQUIREMENTS,
    overrides=('torch; python_version < "0"',),
    size_bytes=506_000_000,
    notes=("torch is left out: only a converter in the package imports it",),
)

BACKEND = Backend(
    name="mlx-whisper",
    adapter="mac_whisper_speedtest.backends.mlx_whisper:MlxWhisper",
    import_name="mlx_whisper",
    weights_format="mlx",
    # mlx-whisper never casts weights: computing in another precision than theirs widens them again
    # at every use.
    weights_precision=mlx_runtime.NATIVE,
    weights_follow_precision=True,
    summary="MLX; Metal on Apple Silicon, a slow CPU build on Linux (tests only)",
    devices=mlx_runtime.DEVICES,
    fixed={"beam_size": 1, "window": "sequential-30s", "batch_size": 1, "vad": False},
    shipped={
        "language": None,  # detected, unless the model knows only English
        "temperatures": mlx_runtime.LADDER,
        "condition_on_previous_text": True,
    },
    recipe=RECIPE,
)


class MlxWhisper:
    """``mlx_whisper.transcribe`` with its model holder filled beforehand."""

    def import_library(self) -> Mapping[str, str]:
        """Import mlx and mlx_whisper."""
        self._mlx = mlx_runtime.Runtime()
        return self._mlx.import_modules("mlx-whisper", "mlx_whisper")

    def load(self, params: LoadParams) -> LoadedModel:
        """Fill the library's own model holder."""
        from mlx_whisper.transcribe import ModelHolder

        loaded, self._watch = self._mlx.fill(ModelHolder, params)
        self._path, self._half = params.model.path, loaded.precision == "float16"
        return loaded

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """All is done when the call returns; MLX's queue is waited for by ``synchronize``."""
        import mlx_whisper

        self._watch.clear()
        result = mlx_whisper.transcribe(
            audio,
            path_or_hf_repo=self._path,
            fp16=self._half,
            **mlx_runtime.arguments(contract),
        )
        return Transcription(
            segments=[
                DecodedSegment(s["start"], s["end"], s["text"], s.get("temperature"))
                for s in result["segments"]
            ],
            language=self._watch.language(result["language"]),
            tokens=sum(len(s["tokens"]) for s in result["segments"]),
            text=result["text"],
        )

    def synchronize(self) -> None:
        """Wait for MLX."""
        self._mlx.synchronize()

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the options that each window was really decoded with."""
        return effective(BACKEND.decodes_with(contract), self._watch.observed())

    def unload(self) -> None:
        """Empty the library's holder and MLX's buffer cache."""
        from mlx_whisper.transcribe import ModelHolder

        ModelHolder.model = ModelHolder.model_path = None
        del self._watch
        self._mlx.free()
