"""whisper.cpp through pywhispercpp: ggml on CPUs, Metal, CUDA and Vulkan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends import whisper_cpp_native as native
from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    Transcription,
    effective,
    without_none,
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
    fixed={"window": "sequential-30s", "batch_size": 1},
    shipped={
        "best_of": 5,
        "temperatures": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        "condition_on_previous_text": True,
    },
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

    def import_library(self) -> Mapping[str, str]:
        """whisper.cpp's own version shows only in its library's file name."""
        versions = super().import_library()
        import _pywhispercpp

        own = {"pywhispercpp": versions["version"]}
        return {**versions, **own, **native.library_version(Path(_pywhispercpp.__file__).parent)}

    def load(self, params: LoadParams) -> LoadedModel:
        """Load a ggml file after checking its header: whisper.cpp crashes on other files."""
        stored = native.stored_precision(Path(params.model.path))
        if params.model.precision not in {"auto", stored}:
            raise ModelUnusableError(
                f"whisper.cpp computes in the precision of its file, which is {stored}, not in "
                f"{params.model.precision}"
            )
        import _pywhispercpp
        from pywhispercpp.model import Model

        with native.init_log(_pywhispercpp) as lines:
            self._model = Model(
                params.model.path,
                context_params={"use_gpu": params.device != "cpu"},
                n_threads=params.threads,
                print_progress=False,
            )
        started = native.initialized(lines)
        features = _pywhispercpp.whisper_print_system_info()
        system = features.decode() if isinstance(features, bytes) else str(features)
        return LoadedModel(
            device=started.device,
            precision=stored,
            details={
                "system_info": system.strip(),
                "backend": started.backend,
                "coreml": started.coreml,
                **({"blas": ", ".join(started.accelerators)} if started.accelerators else {}),
            },
        )

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:
        """Parameters persist from call to call in pywhispercpp, so each call gets new ones."""
        from _pywhispercpp import whisper_full_default_params, whisper_sampling_strategy

        strategy = int((contract.beam_size or 1) > 1)  # 0 greedy, 1 beam search
        params = whisper_full_default_params(whisper_sampling_strategy(strategy))
        params.n_threads = self._model._params.n_threads  # type: ignore[attr-defined]  # noqa: SLF001
        params.print_progress = False
        self._model._params = params  # type: ignore[attr-defined]  # noqa: SLF001
        self._model.transcribe(audio, **_arguments(contract))
        return Transcription(
            segments=native.segments(self._model),
            language=native.language(self._model),
            breakdown=lambda: native.breakdown(self._model),
        )

    def effective(self, contract: DecodeContract) -> EffectiveSettings:
        """Read back from the native parameter block that the call ran with."""
        return effective(
            BACKEND.decodes_with(contract),
            native.read_back(self._model),
            "pads the last window as audio, not as zeros in the mel spectrogram",
        )


def _arguments(contract: DecodeContract) -> dict[str, Any]:
    """The contract as whisper.cpp's parameters."""
    ladder, condition = contract.temperatures, contract.condition_on_previous_text
    arguments = without_none(
        language=contract.language,
        translate=None if contract.task is None else contract.task == "translate",
        temperature=None if ladder is None else ladder[0],
        # whisper.cpp raises the temperature by a fixed step; 0 means no fallback.
        temperature_inc=None if ladder is None else (ladder[1] - ladder[0] if ladder[1:] else 0.0),
        greedy=None if contract.best_of is None else {"best_of": contract.best_of},
        # whisper.cpp's no_context is about earlier calls; this is about earlier windows.
        n_max_text_ctx=None if condition is None else (16384 if condition else 0),
        no_timestamps=None if contract.timestamps is None else not contract.timestamps,
        vad=contract.vad,
    )
    if contract.name != "as-shipped":
        # The other backends suppress non-speech tokens by default; equal work means both do.
        arguments["suppress_nst"] = True
    if (contract.beam_size or 1) > 1:
        arguments["beam_search"] = {"beam_size": contract.beam_size, "patience": -1.0}
    return arguments
