"""sherpa-onnx: Whisper in ONNX Runtime, through graphs that this tool writes; CPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Segment,
    Transcription,
    effective,
)
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RATE = 16000
LONGEST_S = 29.5
"""The library decodes 2950 columns of the spectrogram and drops the rest."""

BACKEND = Backend(
    name="sherpa-onnx",
    adapter="mac_whisper_speedtest.backends.sherpa_onnx:SherpaOnnx",
    import_name="sherpa_onnx",
    weights_format="sherpa-onnx",
    summary="Whisper in sherpa-onnx (ONNX Runtime); CPU; recordings of up to 29.5 s",
    devices=("cpu",),
    precisions=("float32",),
    fixed={
        "beam_size": 1,
        "best_of": 1,
        "temperatures": [0.0],
        "condition_on_previous_text": False,
        "vad": False,
        "window": "whole",
        "batch_size": 1,
    },
    shipped={"timestamps": False},
    auto_precision="float32",
    remarks=(
        "this tool writes its graphs; they are not exported by the library's script",
        "suppresses no tokens of non-speech",
    ),
    notes=(
        "It decodes 29.5 s of a recording at most; a longer one is a failed sample.",
        (
            "By default it gives the encoder less than 30 s for a short recording; under `greedy` "
            "it gets 30 s like the other backends."
        ),
        "Weights are stored in float16; computation is in float32.",
    ),
    recipe=Recipe(
        name="sherpa-onnx",
        distribution="sherpa-onnx",
        version="2.0.1",
        requirements=("numpy",),
        size_bytes=100_000_000,
        notes=("only Whisper: the catalog has no verified weights for its other networks",),
    ),
)


class SherpaOnnx(LibraryAdapter):
    """One ``decode_stream`` per transcription, which returns when the text is complete."""

    modules = ("sherpa_onnx",)
    distributions = ("sherpa-onnx", "sherpa-onnx-core", "numpy")
    _recognizer: Any  # the library is untyped
    _result: Any

    def load(self, params: LoadParams) -> LoadedModel:
        """Check the files first: the library ends the process if one is missing."""
        from sherpa_onnx import OfflineRecognizer

        folder = Path(params.model.path)
        files = {part: folder / f"{part}.onnx" for part in ("encoder", "decoder")}
        files["tokens"] = folder / "tokens.txt"
        for path in files.values():
            if not path.is_file():
                raise ModelUnusableError(f"there is no file {path.name}")
        if params.model.precision not in {"auto", "float32"}:
            raise ModelUnusableError(f"it computes in float32, not in {params.model.precision}")
        with files["encoder"].open("rb") as stream:
            head = stream.read(1 << 16)  # with the metadata, which the library does not report
        multilingual = re.search(rb"is_multilingual\x12\x01([01])", head)
        codes = re.search(rb"all_language_codes\x12[\x80-\xff]*[\x00-\x7f]([a-z,]+)", head)
        if multilingual is None or (multilingual[1] == b"1" and codes is None):
            raise ModelUnusableError("encoder.onnx does not list its languages")
        self._languages = codes[1].decode().split(",") if codes else ["en"]
        self._recognizer = OfflineRecognizer.from_whisper(
            **{part: str(path) for part, path in files.items()}, num_threads=params.threads
        )
        return LoadedModel("cpu", "float32", {"provider": "cpu"})

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """The settings of the recognizer are replaced for each call."""
        length_s = len(audio) / RATE
        if length_s > LONGEST_S:
            raise ValueError(  # about this recording only: others of a set are decoded
                f"sherpa-onnx decodes only the first {LONGEST_S} s, but this recording has "
                f"{length_s:.1f} s"
            )
        config = self._recognizer.config
        settings = config.model_config.whisper
        language = contract.language or "en"
        if self._languages != ["en"] and language not in self._languages:
            raise ModelUnusableError(f"this network does not know the language {language!r}")
        settings.language = language if self._languages != ["en"] else "en"
        settings.task = contract.task or "transcribe"
        settings.enable_segment_timestamps = bool(contract.timestamps)
        # The encoder gets 30 s, as in other backends; by default it gets 10 s more than the audio.
        settings.tail_paddings = -1 if contract.name == "as-shipped" else 3000
        self._recognizer.recognizer.set_config(config)
        stream = self._recognizer.create_stream()
        stream.accept_waveform(RATE, audio)
        self._recognizer.decode_stream(stream)
        self._result = stream.result
        return Transcription(
            segments=_segments(self._result, length_s),
            language=settings.language,
            text=self._result.text,
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the recognizer's settings and from the result."""
        settings = self._recognizer.config.model_config.whisper
        observed = {
            "language": settings.language,
            "task": settings.task,
            "timestamps": bool(self._result.segment_timestamps),
        }
        return effective(BACKEND.decodes_with(contract), observed, *BACKEND.remarks)


def _segments(result: Any, length_s: float) -> list[Segment]:
    """The segments between times; a single one if no times were decoded."""
    if not result.segment_timestamps:
        return [Segment(0.0, length_s, result.text)] if result.text else []
    return [
        Segment(start, start + length, text)
        for start, length, text in zip(
            result.segment_timestamps, result.segment_durations, result.segment_texts, strict=True
        )
    ]
