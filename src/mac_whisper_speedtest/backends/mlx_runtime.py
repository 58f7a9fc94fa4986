"""What the adapters over MLX share: its device, its memory, and a look at what is decoded."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import sys
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.backends.adapter import (
    LoadedModel,
    LoadParams,
    ModelUnusableError,
    import_or_unavailable,
    library_versions,
    told,
)
from mac_whisper_speedtest.backends.contract import DecodeContract, SettingValue

# A fast BLAS for MLX's Linux CPU build, whose own is the one-threaded reference implementation.


REQUIREMENT = "faiss-cpu; sys_platform == 'linux'"
"""The smallest distribution found on PyPI that brings an OpenBLAS with the plain names that MLX
calls (19 MB to fetch): numpy's and scipy's carry a prefix, ``mkl`` takes 944 MB and is no faster.
Nothing of faiss itself is used."""

# Each needs the ones before it, and does not say where they lie.
_LIBRARIES = ("libquadmath", "libgfortran", "libgomp", "libopenblas")


def preload() -> str:
    """Make an OpenBLAS's functions global, where one is needed and there; before MLX is imported.

    The dynamic linker looks for a function among the global ones before it looks into the library
    that MLX was linked with, so MLX then calls these (ld.so(8), dlopen(3): RTLD_GLOBAL).

    Returns:
        What MLX multiplies matrices with on a CPU, for the record.
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
    """Where the wheel keeps its libraries. Looking for it imports nothing."""
    spec = importlib.util.find_spec("faiss")
    if spec is None or not spec.origin:
        raise FileNotFoundError("faiss-cpu is not installed")
    return Path(spec.origin).parent.with_name("faiss_cpu.libs")


# On Linux a plain mlx lacks its native library.
REQUIREMENTS = ("mlx[cpu]; sys_platform == 'linux'", REQUIREMENT)
DEVICES = ("cpu", "metal", "cuda")
_RECORDED = (
    *("mlx", "mlx-metal", "mlx-cpu", "mlx-cuda-12", "mlx-cuda-13"),
    *("faiss-cpu", "numpy", "tiktoken", "torch"),
)
LADDER = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]

# Half precision is native to Metal and CUDA; MLX's CPU build, all that Linux usually has, emulates
# it.
NATIVE = "float16" if sys.platform == "darwin" else "float32"


class Runtime:
    """MLX in this process: imported, and told where to compute."""

    def __init__(self) -> None:
        self._blas = preload()

    def import_modules(self, own: str, *modules: str) -> dict[str, str]:
        """Import MLX and the backend's modules; the versions, the distribution ``own`` first.

        Raises:
            BackendUnavailableError: one cannot be imported.
        """
        import_or_unavailable("mlx.core", *modules)
        return library_versions(own, *_RECORDED)

    def choose_device(self, wanted: str) -> str:
        """Compute on ``wanted`` from now on; ``auto`` is the GPU where there is one.

        Returns:
            What MLX says it computes on then: ``cpu``, ``metal`` or ``cuda``.

        Raises:
            ModelUnusableError: MLX has no such device here.
        """
        import mlx.core as mx

        gpu = "metal" if mx.metal.is_available() else "cuda" if mx.cuda.is_available() else ""
        there = [name for name in ("cpu", gpu) if name]
        device = there[-1] if wanted == "auto" else wanted
        if device not in there:
            raise ModelUnusableError(f"MLX has no {wanted!r} here; it has {' and '.join(there)}")
        mx.set_default_device(mx.cpu if device == "cpu" else mx.gpu)
        return "cpu" if mx.default_device() == mx.Device(mx.cpu) else gpu

    def fill(self, holder: Any, params: LoadParams) -> tuple[LoadedModel, DecodeWatch]:
        """Load a folder into a library's own model holder, so that its first call does not.

        Raises:
            ModelUnusableError: the weights, the device or the precision are of no use to it.
        """
        import mlx.core as mx

        device = self.choose_device(params.device)
        precision = float_type(params, NATIVE)
        holder.model = None  # it goes by the path alone and would keep another precision
        try:
            model = holder.get_model(params.model.path, getattr(mx, precision))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ModelUnusableError(f"{type(error).__name__}: {error}") from error
        details = self.details(device, model.encoder.conv2.weight)
        return LoadedModel(device, precision, details), DecodeWatch(model)

    def details(self, device: str, weights: Any) -> dict[str, str]:  # an mlx array
        """Facts for the record: what the weights are held in, and what multiplies on a CPU."""
        held = str(weights.dtype).rpartition(".")[2]
        return {"weights": held, **({"blas": self._blas} if device == "cpu" else {})}

    def synchronize(self) -> None:
        """MLX computes lazily and asynchronously: wait for whatever is still queued."""
        import mlx.core as mx

        mx.synchronize()

    def free(self) -> None:
        """Give back what nothing refers to any more, and the buffers that MLX keeps for later."""
        import mlx.core as mx

        gc.collect()
        mx.clear_cache()


class DecodeWatch:
    """Keeps the options that a Whisper model really decodes with: one entry per call of it."""

    def __init__(self, model: Any) -> None:  # these libraries are untyped
        self._options: list[Any] = []
        self._english = not model.is_multilingual
        decode = model.decode

        def watched(mel: Any, options: Any, **extra: Any) -> Any:
            self._options.append(options)
            return decode(mel, options, **extra)

        model.decode = watched

    def clear(self) -> None:
        """Forget the last transcription."""
        self._options.clear()

    def language(self, said: str) -> str:
        """What was decoded as, where the library says ``said``: English models ignore others."""
        return "en" if self._english else said

    def observed(self) -> dict[str, SettingValue]:
        """The settings that can be told from the options; none if nothing was decoded."""
        if not self._options:
            return {}
        last = self._options[-1]
        seen: dict[str, SettingValue] = {
            "language": self.language(last.language),
            "task": last.task,
            "beam_size": last.beam_size or 1,
            "timestamps": not last.without_timestamps,
        }
        # These only show where they happened: a rung above the first, and text to go on from.
        sampled = [options.best_of or 1 for options in self._options if options.temperature > 0]
        if sampled:
            seen["best_of"] = max(sampled)
        if any(options.prompt for options in self._options):
            seen["condition_on_previous_text"] = True
        return seen


def float_type(params: LoadParams, native: str) -> str:
    """The precision to compute in; ``auto`` is ``native``.

    Raises:
        ModelUnusableError: these libraries know half and single precision only.
    """
    precision = native if params.model.precision == "auto" else params.model.precision
    if precision not in {"float16", "float32"}:
        raise ModelUnusableError(f"it computes in float16 or float32, not in {precision}")
    return precision


def arguments(contract: DecodeContract) -> dict[str, Any]:
    """The contract as keyword arguments of a ``transcribe`` that descends from OpenAI's."""
    return told(
        language=contract.language,
        task=contract.task,
        temperature=contract.temperatures,
        best_of=contract.best_of,
        condition_on_previous_text=contract.condition_on_previous_text,
        without_timestamps=None if contract.timestamps is None else not contract.timestamps,
    )
