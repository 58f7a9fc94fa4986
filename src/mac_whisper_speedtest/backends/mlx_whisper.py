"""mlx-whisper: Apple's MLX; Metal on Apple Silicon, CUDA or a slow CPU build on Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.adapter import (
    LoadedModel,
    LoadParams,
    Transcription,
    effective,
    openai_arguments,
    openai_transcription,
)
from mac_whisper_speedtest.backends.backend import FLOATS, Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="mlx-whisper",
    distribution="mlx-whisper",
    version="0.4.3",
    requirements=mlx_runtime.REQUIREMENTS,
    overrides=('torch; python_version < "0"',),
    glibc=mlx_runtime.GLIBC,
    size_bytes=506_000_000,
    notes=("torch is left out: only a converter in the package imports it",),
)

BACKEND = Backend(
    name="mlx-whisper",
    adapter="mac_whisper_speedtest.backends.mlx_whisper:MlxWhisper",
    import_name="mlx_whisper",
    weights_format="mlx",
    # mlx-whisper never casts weights: in another precision it would widen them again at every use.
    weights_precision=mlx_runtime.NATIVE,
    weights_follow_precision=True,
    summary="MLX; Metal on Apple Silicon, a slow CPU build on Linux (tests only)",
    devices=mlx_runtime.DEVICES,
    precisions=FLOATS,
    compiles_shapes_on=mlx_runtime.DEVICES[1:],
    fixed={"beam_size": 1, "window": "sequential-30s", "batch_size": 1, "vad": False},
    shipped={
        "language": None,  # detected, unless the model knows only English
        "temperatures": mlx_runtime.LADDER,
        "condition_on_previous_text": True,
    },
    auto_precision=mlx_runtime.AUTO_PRECISION,
    notes=(
        "It never casts weights, so `--precision` also chooses the file's precision.",
        *mlx_runtime.NOTES,
    ),
    recipe=RECIPE,
)


class MlxWhisper(mlx_runtime.MlxWhisperAdapter):
    """``mlx_whisper.transcribe`` with its model holder filled beforehand."""

    modules = ("mlx_whisper",)
    distributions = ("mlx-whisper",)

    def load(self, params: LoadParams) -> LoadedModel:
        """Fill the library's own model holder."""
        from mlx_whisper.transcribe import ModelHolder

        return self.fill(ModelHolder, params)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """The result is complete when the call returns; ``synchronize`` waits for MLX's queue."""
        import mlx_whisper

        self._options.clear()
        result = mlx_whisper.transcribe(
            audio, path_or_hf_repo=self._path, fp16=self._half, **openai_arguments(contract)
        )
        return openai_transcription(result, self.language(result["language"]))

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the decoding options of each window."""
        return effective(BACKEND.decodes_with(contract), self.observed())
