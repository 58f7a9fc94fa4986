"""WhisperX's transcription: faster-whisper's network in batches, cut up by pyannote's detector."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends import cuda
from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Segment,
    Transcription,
    effective,
    record_calls,
    unusable_on,
    without_none,
)
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings, SettingValue
from mac_whisper_speedtest.backends.faster_whisper import (
    BACKEND as CTRANSLATE2,
)
from mac_whisper_speedtest.backends.faster_whisper import (
    COMPUTE_TYPES,
    ctranslate2_device,
    native_precision,
)
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BATCH_SIZE = 8  # its command line's default

RECIPE = Recipe(
    name="whisperx",
    distribution="whisperx",
    version="3.8.6",
    # Its own torch 2.8: pyannote needs a torchaudio of the same release.
    overrides=('torchvision; python_version < "0"', 'triton; python_version < "0"'),
    python=">=3.11,<3.14",
    platforms=(APPLE_SILICON, "linux-x86_64"),  # torchcodec has no wheel for Linux on aarch64
    size_bytes=6_990_000_000,
    size_on={APPLE_SILICON: 927_000_000},
    notes=(
        "transcription only: its aligned word times and its speakers are other work",
        "on Linux it includes a CUDA build of torch, several gigabytes, even without a GPU",
    ),
)

BACKEND = Backend(
    name="whisperx",
    adapter="mac_whisper_speedtest.backends.whisperx:WhisperX",
    import_name="whisperx",
    weights_format="ctranslate2",
    summary="WhisperX without alignment: CTranslate2 on pyannote's VAD chunks, 8 at once",
    environment={
        "PYANNOTE_METRICS_ENABLED": "false",  # otherwise it reports its use over the network
        "TORCH_HOME": "torch",  # a folder it makes, in the worker's scratch folder
    },
    devices=("cpu", "cuda"),
    precisions=COMPUTE_TYPES,
    compiles_shapes_on=("cuda",),
    fixed={
        "vad": True,
        "window": "vad-chunks",
        "batch_size": BATCH_SIZE,
        # It decodes every chunk once, independently and without times.
        "best_of": 1,
        "temperatures": [0.0],
        "condition_on_previous_text": False,
        "timestamps": False,
    },
    shipped={"language": None, "beam_size": 5},
    auto_precision=CTRANSLATE2.auto_precision,
    remarks=("pads every chunk as audio, not as zeros in the mel spectrogram",),
    notes=(
        (
            "Its voice detector is always pyannote's, whose weights come with the library. "
            "faster-whisper-batched does the same work with another detector."
        ),
        "pyannote's reports over the network are switched off.",
    ),
    recipe=RECIPE,
)


class WhisperX(LibraryAdapter):
    """``FasterWhisperPipeline.transcribe``; the detector's weights come with the library.

    CTranslate2 returns computed results only.
    """

    modules = ("whisperx.asr",)  # transcription: CTranslate2, torch, pyannote, transformers
    distributions = (
        *("whisperx", "faster-whisper", "ctranslate2", "pyannote-audio", "torch", "numpy"),
    )

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a CTranslate2 folder; ``auto`` means the same as for faster-whisper."""
        import torch
        from whisperx.asr import load_model

        device, details = ctranslate2_device(params.device)
        if device == "cuda" and (
            why := cuda.unusable_by_torch(torch)
        ):  # its detector runs there too
            if params.device != "auto":
                raise ModelUnusableError(why)
            device, details = "cpu", {"cuda": why}
        precision = params.model.precision
        torch.set_num_threads(params.threads)
        with unusable_on(ValueError, RuntimeError, OSError):
            self._pipeline = load_model(
                params.model.path,
                device=device,
                compute_type=native_precision(device) if precision == "auto" else precision,
                # It recognizes English-only models by their name, which a folder does not have.
                language="en" if params.model.name.endswith(".en") else None,
                vad_method="pyannote",
                local_files_only=True,
                threads=params.threads,
            )
        self._shipped = self._pipeline.options
        self._batches = record_calls(
            self._pipeline.model, "generate_segment_batched", describe_batch
        )
        inner = self._pipeline.model.model
        return LoadedModel(inner.device, inner.compute_type, details)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Decoding options belong to the pipeline, language and task to the call."""
        self._batches.clear()
        self._pipeline.options = replace(
            self._shipped, **without_none(beam_size=contract.beam_size)
        )
        self._result = self._pipeline.transcribe(
            audio,
            batch_size=BATCH_SIZE,
            **without_none(language=contract.language, task=contract.task),
        )
        return Transcription(
            segments=[
                Segment(each["start"], each["end"], each["text"])
                for each in self._result["segments"]
            ],
            language=self._result["language"],
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """The options of the last batch; silence has none."""
        seen: dict[str, SettingValue] = {"language": self._result["language"]}
        for batch in self._batches[-1:]:
            seen |= batch
        return effective(
            BACKEND.decodes_with(contract),
            seen,
            *BACKEND.remarks,
        )

    def unload(self) -> None:
        """Free the weights; the process ends soon after anyway."""
        self._pipeline.model.model.unload_model()
        del self._pipeline


def describe_batch(
    _features: Any, _tokenizer: Any, options: Any, *_: Any
) -> dict[str, SettingValue]:
    """The decoding settings of a batch of chunks."""
    return {"beam_size": options.beam_size, "timestamps": not options.without_timestamps}
