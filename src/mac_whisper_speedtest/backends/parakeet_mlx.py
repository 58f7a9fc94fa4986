"""parakeet-mlx: NVIDIA's Parakeet, which is not a Whisper, on MLX."""

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
    unusable_on,
)
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="parakeet-mlx",
    distribution="parakeet-mlx",
    version="0.6.0",
    requirements=mlx_runtime.REQUIREMENTS,
    glibc=mlx_runtime.GLIBC,
    size_bytes=552_000_000,
)

PRECISIONS = ("bfloat16", "float16", "float32")
BACKEND = Backend(
    name="parakeet-mlx",
    adapter="mac_whisper_speedtest.backends.parakeet_mlx:ParakeetMlx",
    import_name="parakeet_mlx",
    weights_format="parakeet-mlx",
    weights_precision="float32",
    summary="MLX; NVIDIA's Parakeet TDT instead of Whisper",
    networks=("parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v3"),
    devices=mlx_runtime.DEVICES,
    precisions=PRECISIONS,
    compiles_shapes_on=mlx_runtime.DEVICES[1:],
    fixed={
        # A transducer: it has no prompt for these, and does not sample.
        "language": None,
        "best_of": None,
        "temperatures": None,
        "condition_on_previous_text": None,
        "task": "transcribe",
        "vad": False,
        "timestamps": True,
        "window": "whole",
        "batch_size": 1,
    },
    auto_precision="bfloat16 weights, float32 features",
    remarks=("computes on float32 features; the reported precision is the weights'",),
    notes=(
        "Run so far only with random weights of its shape, never with the real network.",
        (
            "A transducer decodes a recording as a whole; language, temperatures and previous "
            "text do not exist for it. The library reports no settings."
        ),
        *mlx_runtime.NOTES,
    ),
    recipe=RECIPE,
)


class ParakeetMlx(mlx_runtime.MlxAdapter):
    """``generate`` on features made in memory: ``transcribe`` takes files and needs ffmpeg."""

    modules = ("parakeet_mlx.audio", "librosa.filters")
    distributions = ("parakeet-mlx",)

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a folder; the weights are cast to the precision, bfloat16 by default."""
        import mlx.core as mx
        from parakeet_mlx import from_pretrained

        device = self.choose_device(params.device)
        precision = "bfloat16" if params.model.precision == "auto" else params.model.precision
        if precision not in PRECISIONS:
            raise ModelUnusableError(f"it computes in {', '.join(PRECISIONS)}, not in {precision}")
        with unusable_on(Exception):  # dacite may raise anything at an invalid config
            # Absolute, because the library asks Hugging Face about a relative path first.
            folder = str(Path(params.model.path).absolute())
            self._model = from_pretrained(folder, dtype=getattr(mx, precision))
        mx.eval(self._model.parameters())  # else the first transcription reads and casts them
        details = self.details(device, self._model.encoder.layers[0].conv.pointwise_conv1.weight)
        return LoadedModel(device, details["weights"], details)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Greedy, or the library's beam search if more than one beam is requested."""
        import mlx.core as mx
        from parakeet_mlx import Beam, DecodingConfig, Greedy
        from parakeet_mlx.audio import get_logmel

        beams = contract.beam_size or 1
        how = DecodingConfig(decoding=Greedy() if beams == 1 else Beam(beam_size=beams))
        features = get_logmel(mx.array(audio), self._model.preprocessor_config)
        result = self._model.generate(features, decoding_config=how)[0]
        return Transcription(
            segments=[Segment(s.start, s.end, s.text) for s in result.sentences],
            tokens=sum(len(sentence.tokens) for sentence in result.sentences),
            text=result.text,
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Fixed in the library, not read back: it reports no settings."""
        return effective(BACKEND.decodes_with(contract), {}, *BACKEND.remarks)

    def unload(self) -> None:
        """Drop the model and MLX's buffer cache."""
        del self._model
        self.free()
