"""faster-whisper's batched pipeline: stretches of speech found by a VAD, eight at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mac_whisper_speedtest.backends import faster_whisper as plain
from mac_whisper_speedtest.backends.adapter import (
    LoadedModel,
    LoadParams,
    Transcription,
    effective,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BATCH_SIZE = 8  # the library's own default

BACKEND = replace(
    plain.BACKEND,
    name="faster-whisper-batched",
    adapter="mac_whisper_speedtest.backends.faster_whisper_batched:FasterWhisperBatched",
    summary="faster-whisper's BatchedInferencePipeline: VAD chunks, 8 at once",
    fixed={
        # Beyond 30 s the pipeline needs chunks, and makes them with its detector.
        "vad": True,
        "window": "vad-chunks",
        "batch_size": BATCH_SIZE,
        # It decodes every chunk independently, at the first temperature only.
        "condition_on_previous_text": False,
    },
    instead={"timestamps": False},
    shipped={
        "language": None,
        "beam_size": 5,
        "best_of": 5,
        "temperatures": [0.0],
        "timestamps": False,
    },
    remarks=("run without timestamps: with them it loses words at the end of a chunk",),
    notes=(
        *plain.BACKEND.notes,
        (
            "Audio that its voice detector (silero's) classifies as silence is not decoded: on "
            "recordings with long pauses that is less work. whisperx does the same work with "
            "another detector."
        ),
        "A recording of one chunk has nothing to batch.",
    ),
)


class FasterWhisperBatched(plain.FasterWhisper):
    """``BatchedInferencePipeline.transcribe`` over the same loaded model."""

    def load(self, params: LoadParams) -> LoadedModel:
        """Load the plain model and put the pipeline around it."""
        from faster_whisper import BatchedInferencePipeline

        loaded = super().load(params)
        self._pipeline = BatchedInferencePipeline(self._model)
        return loaded

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Return a generator: the batches are decoded when it is drained."""
        arguments = plain.arguments(BACKEND.library_contract(contract))
        arguments.pop("condition_on_previous_text", None)
        arguments |= {"batch_size": BATCH_SIZE, "vad_filter": True}
        segments, self._info = self._pipeline.transcribe(audio, **arguments)
        return Transcription(segments=plain.plain(segments), language=self._info.language)

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back like the plain one; the pipeline keeps only the first temperature."""
        remarks = () if BACKEND.library_contract(contract) == contract else BACKEND.remarks
        return effective(BACKEND.decodes_with(contract), plain.read_back(self._info), *remarks)

    def unload(self) -> None:
        """Drop the pipeline, then free the weights."""
        del self._pipeline
        super().unload()
