"""faster-whisper: CTranslate2, on CPUs and CUDA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    name="faster-whisper",
    adapter="mac_whisper_speedtest.backends.faster_whisper:FasterWhisper",
    import_name="faster_whisper",
    form="ctranslate2",
    summary="CTranslate2; CPU (int8, float32) and CUDA (float16, int8, ...)",
)


class FasterWhisper:
    """Plain, sequential ``WhisperModel.transcribe``."""

    def import_library(self) -> Mapping[str, str]:
        """Import faster_whisper (and with it CTranslate2, onnxruntime and PyAV)."""
        try:
            import faster_whisper
        except (ImportError, OSError) as error:
            raise BackendUnavailableError(f"faster_whisper: {error}") from error
        return {
            "version": faster_whisper.__version__,
            **distribution_versions("ctranslate2", "numpy", "tokenizers"),
        }

    def load(self, request: ModelRequest) -> Loaded:
        """Load a CTranslate2 folder; ``auto`` is float32 on a CPU and float16 on CUDA.

        float16 weights are widened to float32 on CPUs because CTranslate2 has no float16 kernels
        there; int8 would be quicker but is other arithmetic than the other backends do.
        """
        import ctranslate2
        from faster_whisper import WhisperModel

        device = request.device
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        precision = request.precision
        if precision == "auto":
            precision = "float16" if device == "cuda" else "float32"
        try:
            self._model = WhisperModel(
                request.path,
                device=device,
                compute_type=precision,
                cpu_threads=request.threads,
                num_workers=1,
                local_files_only=True,
            )
        except (ValueError, RuntimeError) as error:
            raise ModelUnusableError(str(error)) from error
        inner = self._model.model
        return Loaded(device=inner.device, precision=inner.compute_type)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """The generator that faster-whisper returns does the work when it is drained."""
        segments, self._info = self._model.transcribe(
            audio,
            language=contract.language,
            task=contract.task,
            beam_size=contract.beam_size,
            best_of=contract.best_of,
            temperature=contract.temperatures,
            condition_on_previous_text=contract.condition_on_previous_text,
            without_timestamps=not contract.timestamps,
            vad_filter=contract.vad,
        )
        return Transcription(segments=_plain(segments), language=self._info.language)

    def synchronize(self) -> None:
        """CTranslate2 hands results back only when they are computed."""

    def effective(self, contract: DecodeContract) -> Effective:
        """Read back from ``TranscriptionInfo``, except where the library does not say."""
        used = self._info.transcription_options
        return Effective(
            values={
                "language": self._info.language,
                "task": contract.task,
                "beam_size": used.beam_size,
                "best_of": used.best_of,
                "temperatures": [float(value) for value in used.temperatures],
                "condition_on_previous_text": used.condition_on_previous_text,
                "vad": self._info.duration_after_vad != self._info.duration
                or self._info.vad_options is not None,
                "timestamps": not used.without_timestamps,
                "window": "sequential-30s",
                "batch_size": 1,
            },
            observed=(
                "language",
                "beam_size",
                "best_of",
                "temperatures",
                "condition_on_previous_text",
                "vad",
                "timestamps",
            ),
        )

    def unload(self) -> None:
        """Free the weights; the process ends soon after anyway."""
        self._model.model.unload_model()


def _plain(segments: Any) -> Iterator[Segment]:  # the library's generator is untyped
    for segment in segments:
        yield Segment(segment.start, segment.end, segment.text)
