"""CrispASR: a fork of whisper.cpp in its own ggml; on CPUs, Metal, CUDA and Vulkan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends import whisper_cpp
from mac_whisper_speedtest.backends import whisper_cpp_native as native
from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Transcription,
    effective,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings
from mac_whisper_speedtest.backends.crispasr_native import Library
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

BACKEND = replace(
    whisper_cpp.BACKEND,
    name="crispasr",
    adapter="mac_whisper_speedtest.backends.crispasr:CrispAsr",
    import_name="crispasr",
    summary="CrispASR's fork of whisper.cpp; CPU and Metal as published; weights of whisper.cpp",
    notes=(
        (
            "The adapter calls the same C functions as whisper.cpp's: the package's own classes "
            "cannot do equal work."
        ),
        "The layout of its parameters is known for 0.8.45; a release with another is refused.",
        *whisper_cpp.BACKEND.notes[1:],
    ),
    recipe=Recipe(
        name="crispasr",
        distribution="crispasr",
        version="0.8.45",
        glibc="2.35",
        size_bytes=215_000_000,
        size_on={APPLE_SILICON: 113_000_000},
        notes=(
            "published wheels have CPU, and Metal on macOS",
            "only Whisper: the catalog has no verified weights for its other networks",
        ),
    ),
)


class CrispAsr(LibraryAdapter):
    """One ``whisper_full`` call per transcription, which returns when the device has finished."""

    modules = ("crispasr",)
    distributions = ("crispasr", "numpy")
    _library: Library
    _context: int
    _params: Any  # a pointer to FullParams; null before the first call

    def import_library(self) -> Mapping[str, str]:
        """Also load the native library, which the package would load with the first model."""
        versions = super().import_library()
        from crispasr._binding import _find_lib

        self._library = Library(_find_lib())
        return versions

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a ggml file after checking its header: whisper.cpp crashes on other files."""
        stored = native.stored_precision(Path(params.model.path), params.model.precision)
        library = self._library
        options = library.whisper_context_default_params_by_ref()
        options.contents.use_gpu = params.device != "cpu"
        with native.init_log(library) as lines:
            self._context = library.whisper_init_from_file_with_params_by_ref(
                params.model.path.encode(), options
            )
        library.whisper_free_context_params(options)
        if not self._context:
            raise ModelUnusableError(f"CrispASR cannot load {Path(params.model.path).name}")
        self._counters = native.Counters(library, self._context)
        self._threads, self._params = params.threads, None
        return native.loaded(library, lines, stored)

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Use new parameters for each call; the last ones are kept for `effective`."""
        library, context = self._library, self._context
        library.whisper_free_params(self._params)
        self._params = library.whisper_full_default_params_by_ref(native.strategy(contract))
        params = self._params.contents
        params.n_threads = self._threads
        params.print_progress = False
        for name, value in native.arguments(contract).items():
            if name == "language":
                word = value.encode()  # the library keeps no copy
                library.crispasr_params_set_language(self._params, word)
            elif isinstance(value, dict):
                for each, number in value.items():
                    setattr(getattr(params, name), each, number)
            else:
                setattr(params, name, value)
        status = library.whisper_full_by_ref(context, self._params, audio.ctypes.data, len(audio))
        if status != 0:
            raise RuntimeError(f"whisper_full returned {status}")
        return Transcription(
            segments=native.segments(library, context),
            language=native.language(library, context),
            breakdown=self._counters.breakdown,
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the native parameters that the call ran with."""
        language = native.language(self._library, self._context)
        return effective(
            BACKEND.decodes_with(contract),
            native.read_back(self._params.contents, language),
            *BACKEND.remarks,
        )

    def unload(self) -> None:
        """Release the model's memory; the library stays loaded."""
        self._library.whisper_free_params(self._params)
        self._library.whisper_free(self._context)
