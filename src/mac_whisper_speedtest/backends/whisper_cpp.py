"""whisper.cpp through pywhispercpp: ggml on CPUs, Metal, CUDA and Vulkan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends import whisper_cpp_native as native
from mac_whisper_speedtest.backends.adapter import (
    PADS_AUDIO,
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    Transcription,
    effective,
)
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BACKEND = Backend(
    name="whisper.cpp",
    adapter="mac_whisper_speedtest.backends.whisper_cpp:WhisperCpp",
    import_name="pywhispercpp",
    weights_format="ggml",
    weights_follow_precision=True,
    summary="whisper.cpp through pywhispercpp; CPU and Metal as published; q8_0, q5_1, ... weights",
    devices=("cpu", "gpu", "metal", "cuda", "vulkan"),
    compiles_shapes_on=("metal", "cuda", "vulkan"),
    fixed={"window": "sequential-30s", "batch_size": 1},
    shipped={
        "best_of": 5,
        "temperatures": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        "condition_on_previous_text": True,
    },
    auto_precision="the precision of the file: float16",
    remarks=(PADS_AUDIO,),
    notes=(
        "Another precision is another file, which is converted once: `-b whisper.cpp:q5_1`.",
        "`--device` only allows a GPU; the device in the results is read from its log.",
        "Silence comes out as `[BLANK_AUDIO]`.",
    ),
    recipe=Recipe(
        name="whisper.cpp",
        distribution="pywhispercpp",
        version="1.5.1",
        size_bytes=74_000_000,
        size_on={APPLE_SILICON: 37_000_000},
        notes=(
            "published wheels have CPU, and Metal on macOS; for CUDA and Vulkan build it",
            "with an encoder in Core ML: whisper.cpp-coreml",
        ),
    ),
)


class WhisperCpp(LibraryAdapter):
    """One ``whisper_full`` call per transcription, which returns when the device has finished."""

    modules = ("_pywhispercpp", "pywhispercpp.model")
    distributions = ("pywhispercpp", "numpy")
    _model: Any  # pywhispercpp's Model; private members are used

    def import_library(self) -> Mapping[str, str]:
        """Import it; only the library's file name has whisper.cpp's own version."""
        versions = super().import_library()
        import _pywhispercpp

        own = {"pywhispercpp": versions["version"]}
        return {**versions, **own, **native.library_version(Path(_pywhispercpp.__file__).parent)}

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a ggml file after checking its header: whisper.cpp crashes on other files."""
        stored = native.stored_precision(Path(params.model.path), params.model.precision)
        import _pywhispercpp
        from pywhispercpp.model import Model

        with native.init_log(_pywhispercpp) as lines:
            self._model = Model(
                params.model.path,
                context_params={"use_gpu": params.device != "cpu"},
                n_threads=params.threads,
                print_progress=False,
            )
        self._counters = native.Counters(_pywhispercpp, self._model._ctx)  # noqa: SLF001
        return native.loaded(_pywhispercpp, lines, stored)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Parameters persist from call to call in pywhispercpp, so each call gets new ones."""
        import _pywhispercpp as library

        search = library.whisper_sampling_strategy(native.strategy(contract))
        params = library.whisper_full_default_params(search)
        params.n_threads = self._model._params.n_threads  # noqa: SLF001
        params.print_progress = False
        self._model._params = params  # noqa: SLF001
        self._model.transcribe(audio, **native.arguments(contract))
        context = self._model._ctx  # noqa: SLF001
        return Transcription(
            segments=native.segments(library, context),
            language=native.language(library, context),
            breakdown=self._counters.breakdown,
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the call's native parameters."""
        import _pywhispercpp as library

        language = native.language(library, self._model._ctx)  # noqa: SLF001
        return effective(
            BACKEND.decodes_with(contract),
            native.read_back(self._model._params, language),  # noqa: SLF001
            *BACKEND.remarks,
        )
