"""faster-whisper: CTranslate2, on CPUs and CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends import cuda
from mac_whisper_speedtest.backends.adapter import (
    DecodedSegment,
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Transcription,
    effective,
    openai_arguments,
    without_none,
)
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings, SettingValue
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="faster-whisper",
    distribution="faster-whisper",
    version="1.2.1",
    # It came with huggingface-hub before that library's 1.0.
    undeclared={"1.2.1": ("requests",)},
    size_bytes=417_000_000,
    size_on={APPLE_SILICON: 181_000_000},
    uses_cublas=True,
)

LADDER = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]

COMPUTE_TYPES = (
    *("float16", "float32", "bfloat16", "int16"),
    *("int8", "int8_float16", "int8_float32", "int8_bfloat16"),
)
"""CTranslate2's precisions; a load shows whether the device supports one."""
BACKEND = Backend(
    name="faster-whisper",
    adapter="mac_whisper_speedtest.backends.faster_whisper:FasterWhisper",
    import_name="faster_whisper",
    weights_format="ctranslate2",
    summary="CTranslate2; CPU (int8, float32) and CUDA (float16, int8, ...)",
    devices=("cpu", "cuda"),
    precisions=COMPUTE_TYPES,
    compiles_shapes_on=("cuda",),
    fixed={"window": "sequential-30s", "batch_size": 1},
    shipped={
        "language": None,  # detected, unless the model knows only English
        "beam_size": 5,
        "best_of": 5,
        "temperatures": LADDER,
        "condition_on_previous_text": True,
    },
    auto_precision="float32 on CPUs and on GPUs without fast float16, else float16",
    notes=(
        "CTranslate2 does not support Apple's GPUs: on a Mac it runs on the CPU, in float32.",
        (
            "CUDA works on Linux on x86-64 and needs cuBLAS 12, which `backends install` adds "
            "if it finds a GPU. Without it `auto` is the CPU, with a finding."
        ),
        "int8 is other arithmetic than the other backends use, so it needs an explicit `:int8`.",
    ),
    recipe=RECIPE,
)


class FasterWhisper(LibraryAdapter):
    """Plain, sequential ``WhisperModel.transcribe``; CTranslate2 returns computed results only."""

    modules = ("faster_whisper",)  # and with it CTranslate2, onnxruntime and PyAV
    distributions = (
        *("faster-whisper", "ctranslate2", "nvidia-cublas-cu12", "numpy", "tokenizers"),
    )

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a CTranslate2 folder; ``auto`` is float16 on GPUs that have it, else float32.

        float16 weights are widened to float32 if CTranslate2 has no float16 kernels: on CPUs,
        and on GPUs that are slow at it. int8 would be faster, but is not the arithmetic of the
        other backends.
        """
        from faster_whisper import WhisperModel

        device, details = ctranslate2_device(params.device)
        precision = params.model.precision
        try:
            self._model = WhisperModel(
                params.model.path,
                device=device,
                compute_type=native_precision(device) if precision == "auto" else precision,
                cpu_threads=params.threads,
                num_workers=1,
                local_files_only=True,
            )
        except (ValueError, RuntimeError) as error:
            raise ModelUnusableError(str(error)) from error
        inner = self._model.model
        return LoadedModel(inner.device, inner.compute_type, details)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Return a generator: faster-whisper does the work when it is drained."""
        segments, self._info = self._model.transcribe(audio, **arguments(contract))
        return Transcription(segments=plain(segments), language=self._info.language)

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from ``TranscriptionInfo``; the task is not in it."""
        return effective(BACKEND.decodes_with(contract), read_back(self._info))

    def unload(self) -> None:
        """Free the weights; the process ends soon after anyway."""
        self._model.model.unload_model()


def ctranslate2_device(requested: str) -> tuple[str, dict[str, str]]:
    """The device to use, and facts about it for the record.

    ``auto`` is CUDA if CTranslate2 finds a GPU and cuBLAS can be loaded, else the CPU. Without
    cuBLAS a model loads on CUDA, but the first transcription fails.

    Raises:
        ModelUnusableError: CUDA was requested, but cuBLAS cannot be loaded.
    """
    import ctranslate2

    if requested not in {"auto", "cuda"}:
        return requested, {}
    if requested == "auto" and not ctranslate2.get_cuda_device_count():
        return "cpu", {}
    missing = cuda.preload_cublas()
    if not missing:
        return "cuda", {}
    if requested == "auto":
        return "cpu", {"cuda": missing}
    raise ModelUnusableError(
        f"CTranslate2 needs cuBLAS 12 on a GPU: {missing}; speedtest doctor names the command"
    )


def native_precision(device: str) -> str:
    """The precision of ``auto``: float16 if CTranslate2 has it for this GPU, else float32."""
    import ctranslate2

    fast = device == "cuda" and "float16" in ctranslate2.get_supported_compute_types("cuda")
    return "float16" if fast else "float32"


def arguments(contract: DecodeContract) -> dict[str, Any]:
    """The contract as keyword arguments of the library's ``transcribe``."""
    own = without_none(beam_size=contract.beam_size, vad_filter=contract.vad)
    return openai_arguments(contract) | own


def read_back(info: Any) -> dict[str, SettingValue]:
    """The settings in a ``TranscriptionInfo``."""
    used = info.transcription_options
    return {
        "language": info.language,
        "beam_size": used.beam_size,
        "best_of": used.best_of,
        "temperatures": [float(value) for value in used.temperatures],
        "condition_on_previous_text": used.condition_on_previous_text,
        "vad": info.vad_options is not None or info.duration_after_vad != info.duration,
        "timestamps": not used.without_timestamps,
    }


def plain(segments: Any) -> Iterator[DecodedSegment]:
    """The library's segments as ours, still lazy."""
    for segment in segments:
        yield DecodedSegment(segment.start, segment.end, segment.text, segment.temperature)
