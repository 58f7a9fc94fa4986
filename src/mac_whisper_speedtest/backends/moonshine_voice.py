"""Moonshine through moonshine-voice: not Whisper, but small networks made for live speech."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
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
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

# Seen with 0.1.5: the first text of a process may differ from all later ones for the same samples.

_ARCHITECTURES = {"moonshine-tiny-en": "TINY"}

BACKEND = Backend(
    name="moonshine-voice",
    adapter="mac_whisper_speedtest.backends.moonshine_voice:MoonshineVoice",
    import_name="moonshine_voice",
    weights_format="moonshine-onnx",
    weights_precision="int8",
    summary="Moonshine (not Whisper) in ONNX Runtime; CPU; English",
    networks=tuple(_ARCHITECTURES),
    devices=("cpu",),
    precisions=("int8",),
    fixed={
        "language": "en",
        "task": "transcribe",
        # It cuts at pauses with its own detector and decodes each piece greedily, once.
        "vad": True,
        "window": "vad-chunks",
        "batch_size": 1,
        "beam_size": 1,
        "temperatures": [0.0],
        "condition_on_previous_text": False,
        "timestamps": True,
        "best_of": None,
    },
    auto_precision="int8",
    remarks=(
        "its voice detector remembers the previous recording and may cut the next one differently",
    ),
    notes=(
        "The first text of a process may differ from the later ones, which is a finding.",
        "Samples are passed as a Python list, as in normal use, so the clock includes this.",
    ),
    recipe=Recipe(
        name="moonshine-voice",
        distribution="moonshine-voice",
        version="0.1.5",
        macos="15",
        glibc="2.34",
        size_bytes=106_000_000,
        size_on={APPLE_SILICON: 75_000_000},
        notes=("chooses its own number of threads",),
    ),
)


class MoonshineVoice(LibraryAdapter):
    """``Transcriber.transcribe_without_streaming`` on the whole recording, on a CPU."""

    modules = ("moonshine_voice",)
    distributions = ("moonshine-voice", "numpy")

    def load(self, params: LoadParams) -> LoadedModel:
        """Check and load a folder of .ort files; the library reports every fault as unknown."""
        from moonshine_voice import ModelArch, MoonshineError, Transcriber

        if params.model.precision not in {"auto", "int8"}:
            raise ModelUnusableError(f"Moonshine's weights are int8, not {params.model.precision}")
        if params.model.name not in _ARCHITECTURES:
            raise ModelUnusableError(f"{params.model.name} is not a known Moonshine network")
        for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin"):
            if not (Path(params.model.path) / name).is_file():
                raise ModelUnusableError(f"the weights lack {name}")
        with unusable_on(MoonshineError):
            self._transcriber = Transcriber(
                params.model.path, getattr(ModelArch, _ARCHITECTURES[params.model.name])
            )
        return LoadedModel(device="cpu", precision="int8")

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:  # noqa: ARG002
        """Decode with the library's fixed settings, which `BACKEND` lists."""
        # The library requires a list and copies it element by element; normal use includes both.
        lines = self._transcriber.transcribe_without_streaming(audio.tolist(), 16000).lines
        return Transcription(
            segments=[
                Segment(line.start_time, line.start_time + line.duration, f" {line.text}")
                for line in lines
            ],
            language="en",
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Fixed in the library, not read back: it reports no settings."""
        return effective(BACKEND.decodes_with(contract), {}, *BACKEND.remarks)

    def unload(self) -> None:
        """Free the native transcriber."""
        self._transcriber.close()
        del self._transcriber
