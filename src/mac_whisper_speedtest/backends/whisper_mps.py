"""whisper-mps: Apple's first MLX example, reading OpenAI's own checkpoints with torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends import mlx_runtime
from mac_whisper_speedtest.backends.adapter import (
    DecodedSegment,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Transcription,
    effective,
)
from mac_whisper_speedtest.backends.backend import Backend, Recipe
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="whisper-mps",
    distribution="whisper-mps",
    version="0.0.10",
    requirements=("torch==2.13.0", *mlx_runtime.REQUIREMENTS),
    size_bytes=1_316_000_000,
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
    recipe=RECIPE,
)

REMARK = "the last window is filled up with silent audio, not with empty features as OpenAI's is"


class WhisperMps:
    """``whisper_mps.whisper.transcribe`` with its model holder filled beforehand."""

    def import_library(self) -> Mapping[str, str]:
        """Import torch, mlx and the library's Whisper; its command line is left alone."""
        self._mlx = mlx_runtime.Runtime()
        return self._mlx.import_modules("whisper-mps", "torch", "whisper_mps.whisper.transcribe")

    def load(self, params: LoadParams) -> LoadedModel:
        """Read a checkpoint file as the library would, which only takes names and downloads.

        Its holder then knows the model under the file's path.
        """
        import mlx.core as mx
        import torch
        from whisper_mps.whisper import load_models, torch_whisper
        from whisper_mps.whisper.transcribe import ModelHolder

        device = self._mlx.choose_device(params.device)
        precision = mlx_runtime.float_type(params, "float32" if device == "cpu" else "float16")
        try:
            checkpoint = torch.load(params.model.path, map_location="cpu", weights_only=True)
            reader = torch_whisper.Whisper(torch_whisper.ModelDimensions(**checkpoint["dims"]))
            reader.load_state_dict(checkpoint["model_state_dict"])
        except Exception as error:  # unpickling raises whatever it likes
            raise ModelUnusableError(f"{type(error).__name__}: {error}") from error
        model = load_models.torch_to_mlx(reader, getattr(mx, precision))
        mx.eval(model.parameters())  # else the first transcription casts them
        ModelHolder.model, ModelHolder.model_name = model, params.model.path
        self._path, self._half = params.model.path, precision == "float16"
        self._watch = mlx_runtime.DecodeWatch(model)
        details = self._mlx.details(device, model.encoder.conv2.weight)
        return LoadedModel(device, precision, details)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """All is done when the call returns; MLX's queue is waited for by ``synchronize``."""
        from whisper_mps.whisper.transcribe import transcribe

        wanted = mlx_runtime.arguments(contract)
        wanted.pop("best_of", None)
        self._watch.clear()
        result = transcribe(audio, model=self._path, fp16=self._half, **wanted)
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
        return effective(BACKEND.decodes_with(contract), self._watch.observed(), REMARK)

    def unload(self) -> None:
        """Empty the library's holder and MLX's buffer cache."""
        from whisper_mps.whisper.transcribe import ModelHolder

        ModelHolder.model = ModelHolder.model_name = None
        del self._watch
        self._mlx.free()
