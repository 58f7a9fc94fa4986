"""lightning-whisper-mlx: mlx-whisper's forerunner, decoding 12 windows of 30 s at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.adapter import (
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Segment,
    Transcription,
    effective,
    openai_arguments,
)
from mac_whisper_speedtest.backends.backend import FLOATS, Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="lightning-whisper-mlx",
    distribution="lightning-whisper-mlx",
    version="0.0.10",
    requirements=mlx_runtime.REQUIREMENTS,
    overrides=('torch; python_version < "0"', "tiktoken>=0.3.3"),
    glibc=mlx_runtime.GLIBC,
    size_bytes=506_000_000,
    notes=(
        "its pin of tiktoken 0.3.3, which has no wheel for Python 3.12 and later, is lifted",
        "torch is left out: only a converter in the package imports it",
    ),
)

BATCH_SIZE = 12  # the default of the library's class
FRAMES_PER_SECOND = 100

BACKEND = Backend(
    name="lightning-whisper-mlx",
    adapter="mac_whisper_speedtest.backends.lightning_whisper_mlx:LightningWhisperMlx",
    import_name="lightning_whisper_mlx",
    weights_format="mlx-npz",
    weights_precision=mlx_runtime.NATIVE,  # it does not cast weights either
    weights_follow_precision=True,
    summary="MLX; 12 windows of 30 s at once",
    devices=mlx_runtime.DEVICES,
    precisions=FLOATS,
    compiles_shapes_on=mlx_runtime.DEVICES[1:],
    fixed={
        "beam_size": 1,
        "best_of": 1,
        "temperatures": [0.0, 1.0],  # with any ``temperature``
        "vad": False,
        "window": "fixed-30s",
        "batch_size": BATCH_SIZE,
    },
    instead={"timestamps": False},
    shipped={"language": None, "condition_on_previous_text": True},
    auto_precision=mlx_runtime.AUTO_PRECISION,
    remarks=(
        "loses words between windows of 30 s; more with timestamps",
        "its second try at temperature 1.0 also takes the likeliest token: the same words",
        "previous text is fed to the next batch of windows, not to the next window",
    ),
    notes=(
        "Its class only adds a download, so the adapter calls the function behind it.",
        "Its quantized weights are not offered: the library cannot load them.",
        *mlx_runtime.NOTES,
    ),
    recipe=RECIPE,
)


class LightningWhisperMlx(mlx_runtime.MlxWhisperAdapter):
    """The library's ``transcribe_audio``; its class only adds a download to the current folder."""

    modules = ("lightning_whisper_mlx.transcribe",)
    distributions = ("lightning-whisper-mlx",)

    def load(self, params: LoadParams) -> LoadedModel:
        """Fill the library's own model holder."""
        from lightning_whisper_mlx.transcribe import ModelHolder

        if not (Path(params.model.path) / "weights.npz").is_file():
            raise ModelUnusableError(f"no weights.npz in {params.model.path}")
        return self.fill(ModelHolder, params)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Each segment is a whole window: its first frame, its last frame and its text."""
        from lightning_whisper_mlx.transcribe import transcribe_audio

        arguments = openai_arguments(BACKEND.library_contract(contract))
        arguments.pop("temperature", None)  # ignored
        arguments.pop("best_of", None)  # an error: its first try is at temperature 0
        self._options.clear()
        result = transcribe_audio(
            audio,
            path_or_hf_repo=self._path,
            batch_size=BATCH_SIZE,
            fp16=self._half,
            **arguments,
        )
        return Transcription(
            segments=[
                Segment(first / FRAMES_PER_SECOND, last / FRAMES_PER_SECOND, text)
                for first, last, text in result["segments"]
            ],
            language=self.language(result["language"]),
            text=result["text"],
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the decoding options of each batch."""
        return effective(BACKEND.decodes_with(contract), self.observed(), *BACKEND.remarks)
