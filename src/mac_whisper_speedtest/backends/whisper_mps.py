"""whisper-mps: Apple's first MLX example, reading OpenAI's own checkpoints with torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.adapter import (
    PADS_AUDIO,
    LoadedModel,
    LoadParams,
    Transcription,
    effective,
    openai_arguments,
    openai_transcription,
    unusable_on,
)
from mac_whisper_speedtest.backends.backend import FLOATS, Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe
from mac_whisper_speedtest.backends.torch_device import AUTO_PRECISION

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="whisper-mps",
    distribution="whisper-mps",
    version="0.0.10",
    requirements=("torch==2.13.0", *mlx_runtime.REQUIREMENTS),
    glibc=mlx_runtime.GLIBC,
    size_bytes=1_316_000_000,
    size_on={APPLE_SILICON: 1_003_000_000},
    uses_torch=True,
    notes=("torch only reads the checkpoint; MLX computes",),
)

BACKEND = Backend(
    name="whisper-mps",
    adapter="mac_whisper_speedtest.backends.whisper_mps:WhisperMps",
    import_name="whisper_mps",
    weights_format="openai",
    summary="MLX, not torch's MPS: Apple's first example with OpenAI's checkpoints",
    devices=mlx_runtime.DEVICES,
    precisions=FLOATS,
    compiles_shapes_on=mlx_runtime.DEVICES[1:],
    fixed={
        "beam_size": 1,
        "best_of": 1,  # with more it dies of std::bad_cast
        "vad": False,
        "window": "sequential-30s",
        "batch_size": 1,
    },
    shipped={
        "language": None,  # detected, unless the model knows only English
        "temperatures": mlx_runtime.LADDER,
        "condition_on_previous_text": True,
    },
    auto_precision=AUTO_PRECISION,
    remarks=(PADS_AUDIO,),
    notes=(
        (
            "The library takes only names and downloads them, so the adapter reads the file as the "
            "library would and fills its holder."
        ),
        *mlx_runtime.NOTES,
    ),
    recipe=RECIPE,
)


class WhisperMps(mlx_runtime.MlxWhisperAdapter):
    """``whisper_mps.whisper.transcribe`` with its model holder filled beforehand."""

    modules = ("torch", "whisper_mps.whisper.transcribe")
    distributions = ("whisper-mps",)

    def load(self, params: LoadParams) -> LoadedModel:
        """Read a checkpoint file as the library does; the library accepts only names to download.

        Its holder then has the model under the file's path.
        """
        import mlx.core as mx
        import torch
        from whisper_mps.whisper import load_models, torch_whisper
        from whisper_mps.whisper.transcribe import ModelHolder

        device = self.choose_device(params.device)
        precision = mlx_runtime.float_type(params, "float32" if device == "cpu" else "float16")
        with unusable_on(Exception):  # unpickling may raise anything
            checkpoint = torch.load(params.model.path, map_location="cpu", weights_only=True)
            reader = torch_whisper.Whisper(torch_whisper.ModelDimensions(**checkpoint["dims"]))
            reader.load_state_dict(checkpoint["model_state_dict"])
        model = load_models.torch_to_mlx(reader, getattr(mx, precision))
        mx.eval(model.parameters())  # else the first transcription casts them
        ModelHolder.model, ModelHolder.model_name = model, params.model.path
        return self.loaded(ModelHolder, model, params, device, precision)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """The result is complete when the call returns; ``synchronize`` waits for MLX's queue."""
        from whisper_mps.whisper.transcribe import transcribe

        arguments = openai_arguments(contract)
        arguments.pop("best_of", None)
        self._options.clear()
        result = transcribe(audio, model=self._path, fp16=self._half, **arguments)
        return openai_transcription(result, self.language(result["language"]))

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the decoding options of each window."""
        return effective(BACKEND.decodes_with(contract), self.observed(), *BACKEND.remarks)
