"""Shared by the adapters over MLX: its device, its memory, and a record of decoding options."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends import mlx_wheel
from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    import_or_unavailable,
    library_versions,
    record_calls,
    unusable_on,
)
from mac_whisper_speedtest.backends.backend import FLOATS
from mac_whisper_speedtest.backends.contract import SettingValue

REQUIREMENT = "faiss-cpu; sys_platform == 'linux'"
"""A fast BLAS for MLX's Linux CPU build; its own is the single-threaded reference implementation.

It is the smallest distribution found on PyPI with an OpenBLAS of the plain names that MLX calls
(19 MB to download): numpy's and scipy's have a prefix, ``mkl`` takes 944 MB and is no faster.
Nothing of faiss itself is used."""

# On Linux a plain mlx lacks its native library.
REQUIREMENTS = ("mlx[cpu]; sys_platform == 'linux'", REQUIREMENT)
DEVICES = ("cpu", "metal", "cuda")
GLIBC = "2.35"
LADDER = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]

# Half precision is native to Metal and CUDA; MLX's CPU build, the usual one on Linux, emulates it.
NATIVE = "float16" if sys.platform == "darwin" else "float32"

AUTO_PRECISION = "float16 on a Mac, else float32"
NOTES = (
    (
        "On Linux its times mean little: MLX's CPU build multiplies on one thread. `details` "
        "names the library that multiplies under `blas`."
    ),
    (
        "MLX has builds for macOS 14, 15 and 26, and only the one for 26 uses the neural "
        "accelerators of M5. `speedtest doctor` and a finding say where another one is installed."
    ),
)

_RECORDED = (
    *("mlx", "mlx-metal", "mlx-cpu", "mlx-cuda-12", "mlx-cuda-13"),
    *("faiss-cpu", "numpy", "tiktoken", "torch"),
)
# Each needs the previous ones, but has no path to them.
_LIBRARIES = ("libquadmath", "libgfortran", "libgomp", "libopenblas")


def preload() -> str:
    """Make the functions of an installed OpenBLAS global on Linux; call it before importing MLX.

    The dynamic linker searches global functions before the library that MLX was linked with, so MLX
    then calls these (ld.so(8), dlopen(3): RTLD_GLOBAL).

    Returns:
        The BLAS that MLX uses on a CPU, for the record.
    """
    if sys.platform != "linux":
        return "Accelerate"
    try:
        library = None
        for name in _LIBRARIES:
            for path in sorted(_folder().glob(f"{name}*")):
                mode = ctypes.RTLD_GLOBAL if name == _LIBRARIES[-1] else ctypes.RTLD_LOCAL
                library = ctypes.CDLL(str(path), mode=mode)
        if library is None:
            return "reference"
        describe = library.openblas_get_config
        describe.restype = ctypes.c_char_p
        return str(describe().decode("ascii", "replace").strip())
    except (OSError, AttributeError):
        return "reference"


def _folder() -> Path:
    """Folder of the wheel's native libraries. Does not import them."""
    spec = importlib.util.find_spec("faiss")
    if spec is None or not spec.origin:
        raise FileNotFoundError("faiss-cpu is not installed")
    return Path(spec.origin).parent.with_name("faiss_cpu.libs")


class MlxAdapter(LibraryAdapter):
    """An adapter over MLX: its import, its device and its memory."""

    def import_library(self) -> Mapping[str, str]:
        """Import MLX before the backend's modules."""
        self._blas = preload()
        import_or_unavailable("mlx.core", *self.modules)
        tag = mlx_wheel.platform_tag()
        found = library_versions(*self.distributions, *_RECORDED)
        return found | ({mlx_wheel.NAME: tag} if tag else {})

    def choose_device(self, requested: str) -> str:
        """Make ``requested`` MLX's default device; ``auto`` is the GPU if there is one.

        Returns:
            The device that MLX reports then: ``cpu``, ``metal`` or ``cuda``.

        Raises:
            ModelUnusableError: MLX has no such device here.
        """
        import mlx.core as mx

        gpu = "metal" if mx.metal.is_available() else "cuda" if mx.cuda.is_available() else ""
        available = [name for name in ("cpu", gpu) if name]
        device = available[-1] if requested == "auto" else requested
        if device not in available:
            names = " and ".join(available)
            raise ModelUnusableError(f"MLX has no {requested!r} here; it has {names}")
        mx.set_default_device(mx.cpu if device == "cpu" else mx.gpu)
        return "cpu" if mx.default_device() == mx.Device(mx.cpu) else gpu

    def details(self, device: str, weights: Any) -> dict[str, str]:  # an mlx array
        """Facts for the record: the weights' precision in memory, and the BLAS or the GPU."""
        import mlx.core as mx

        stored = str(weights.dtype).rpartition(".")[2]
        if device == "cpu":
            return {"weights": stored, "blas": self._blas}
        # MLX before 0.31 has it for Metal only. It identifies builds of kernels: applegpu_g16s.
        info = mx.device_info() if hasattr(mx, "device_info") else mx.metal.device_info()
        return {"weights": stored, "architecture": str(info.get("architecture", "unknown"))}

    def synchronize(self) -> None:
        """Wait for all queued work: MLX computes lazily and asynchronously."""
        import mlx.core as mx

        mx.synchronize()

    def free(self) -> None:
        """Free unreferenced memory and the buffers in MLX's cache."""
        import mlx.core as mx

        gc.collect()
        mx.clear_cache()


class MlxWhisperAdapter(MlxAdapter):
    """An adapter over an MLX library that descends from OpenAI's, with a ``ModelHolder``."""

    _holder: Any  # the library's class; these libraries are untyped
    _path: str
    _half: bool
    _options: list[Any]  # one entry per call of the model's ``decode``

    def fill(self, holder: Any, params: LoadParams) -> LoadedModel:
        """Load a folder into the library's holder, so that its first call loads nothing.

        Raises:
            ModelUnusableError: the weights, the device or the precision cannot be used.
        """
        import mlx.core as mx

        device = self.choose_device(params.device)
        precision = float_type(params, NATIVE)
        holder.model = None  # it compares only the path and would keep another precision
        with unusable_on(OSError, ValueError, KeyError, TypeError, RuntimeError):
            model = holder.get_model(params.model.path, getattr(mx, precision))
        return self.loaded(holder, model, params, device, precision)

    def loaded(
        self, holder: Any, model: Any, params: LoadParams, device: str, precision: str
    ) -> LoadedModel:
        """Keep the arguments of a transcription, and record the options of every ``decode``."""
        self._holder, self._path, self._half = holder, params.model.path, precision == "float16"
        self._english = not model.is_multilingual
        self._options = record_calls(model, "decode", lambda _mel, options, **_: options)
        return LoadedModel(device, precision, self.details(device, model.encoder.conv2.weight))

    def language(self, reported: str) -> str:
        """The language used for decoding: an English model ignores, but reports, another one."""
        return "en" if self._english else reported

    def observed(self) -> dict[str, SettingValue]:
        """The settings in the options of the last transcription; empty if it had none."""
        if not self._options:
            return {}
        last = self._options[-1]
        seen: dict[str, SettingValue] = {
            "language": self.language(last.language),
            "task": last.task,
            "beam_size": last.beam_size or 1,
            "timestamps": not last.without_timestamps,
        }
        # Listed only if they had an effect: above temperature 0, and with a prompt.
        sampled = [options.best_of or 1 for options in self._options if options.temperature > 0]
        if sampled:
            seen["best_of"] = max(sampled)
        if any(options.prompt for options in self._options):
            seen["condition_on_previous_text"] = True
        return seen

    def unload(self) -> None:
        """Empty the library's holder and MLX's buffer cache."""
        self._holder.model = None
        self._options = []
        self.free()


def float_type(params: LoadParams, native: str) -> str:
    """The precision to compute in; ``auto`` is ``native``.

    Raises:
        ModelUnusableError: neither half nor single precision was requested.
    """
    precision = native if params.model.precision == "auto" else params.model.precision
    if precision not in FLOATS:
        raise ModelUnusableError(f"it computes in float16 or float32, not in {precision}")
    return precision
