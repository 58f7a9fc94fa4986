"""openai-whisper: the reference implementation, in PyTorch."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends.adapter import (
    LoadedModel,
    LoadParams,
    Transcription,
    effective,
    openai_arguments,
    openai_transcription,
    record_calls,
    temperature_argument,
    unusable_on,
    without_none,
)
from mac_whisper_speedtest.backends.backend import FLOATS, Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings, SettingValue
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe
from mac_whisper_speedtest.backends.torch_device import AUTO_PRECISION, TorchAdapter, facts, prepare

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

RECIPE = Recipe(
    name="openai-whisper",
    distribution="openai-whisper",
    version="20250625",
    requirements=("torch==2.13.0",),
    # Triton only speeds up word times on CUDA, and takes a gigabyte.
    overrides=('triton; python_version < "0"',),
    size_bytes=1_000_000_000,
    size_on={APPLE_SILICON: 686_000_000},
    source_only=True,
    uses_torch=True,
)

BACKEND = Backend(
    name="openai-whisper",
    adapter="mac_whisper_speedtest.backends.openai_whisper:OpenaiWhisper",
    import_name="whisper",
    weights_format="openai",
    summary="the reference implementation, in PyTorch; CPU, CUDA, Apple's MPS",
    devices=("cpu", "cuda", "mps"),
    precisions=FLOATS,
    compiles_shapes_on=("cuda", "mps"),
    fixed={"vad": False, "window": "sequential-30s", "batch_size": 1},
    shipped={
        "language": None,  # detected, unless the model knows only English
        "temperatures": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        "condition_on_previous_text": True,
    },
    auto_precision=AUTO_PRECISION,
    notes=(
        "float16 on a CPU is refused: PyTorch emulates it.",
        "Other programs slow it down more than any other backend.",
    ),
    recipe=RECIPE,
)

# Errors from reading a missing or damaged file, or another format.
_UNREADABLE = (
    *(OSError, RuntimeError, EOFError, LookupError, AttributeError, TypeError, ValueError),
    pickle.UnpicklingError,
)


class OpenaiWhisper(TorchAdapter):
    """``whisper.transcribe`` over a checkpoint loaded from its file."""

    modules = ("torch", "whisper")
    distributions = ("openai-whisper", "torch", "numpy", "tiktoken", "numba")

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a ``.pt`` file; ``auto`` is float32 on a CPU and float16 elsewhere.

        Weights loaded by path leave the alignment heads at a default. Only word times use them, and
        those are never requested.
        """
        import whisper

        device, precision = prepare(params)
        self._half = precision == "float16"
        with unusable_on(*_UNREADABLE):
            model = whisper.load_model(params.model.path, device="cpu")
        # Metal has no sparse tensors; the alignment heads can move there as a dense one.
        heads = model.alignment_heads.to_dense()
        model.register_buffer("alignment_heads", heads, persistent=False)
        self._model = model.to(device)
        self._windows = record_calls(self._model, "decode", lambda _mel, options: options)
        used = next(self._model.parameters()).device.type
        return LoadedModel(used, precision, facts(used))

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Decode in windows; the options of each are recorded."""
        self._windows.clear()
        self._result = self._model.transcribe(
            audio,
            verbose=None,
            fp16=self._half,
            **openai_arguments(contract)
            | without_none(
                beam_size=None if contract.beam_size == 1 else contract.beam_size,
                temperature=temperature_argument(contract),
            ),
        )
        language = self._result["language"] if self._model.is_multilingual else "en"
        return openai_transcription(self._result, language)

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the decoding options of every window."""
        declared = BACKEND.decodes_with(contract)
        seen = read_back(self._windows, self._result, declared["temperatures"])
        if not self._model.is_multilingual:  # it ignores these settings, but repeats them
            seen |= {"language": "en", "task": "transcribe"}
        return effective(declared, seen)


def read_back(windows: list[Any], result: Any, ladder: SettingValue) -> dict[str, SettingValue]:
    """The settings in the options; settings without effect in this recording are left out."""
    seen: dict[str, SettingValue] = {"language": result["language"]}
    if not windows:
        return seen
    seen["task"] = windows[-1].task
    seen["timestamps"] = not windows[-1].without_timestamps
    for options in windows:  # beams exist at temperature 0 only, candidates above it only
        if options.temperature == 0:
            seen["beam_size"] = options.beam_size or 1
        else:
            seen["best_of"] = options.best_of or 1
    tried: list[float] = sorted({float(options.temperature) for options in windows})
    if not isinstance(ladder, list) or tried == ladder or not set(tried) <= set(ladder):
        seen["temperatures"] = tried  # else higher rungs were requested, but not needed
    if any(options.prompt for options in windows):
        seen["condition_on_previous_text"] = True
    elif len({segment["seek"] for segment in result["segments"]}) > 1:
        seen["condition_on_previous_text"] = False
    return seen
