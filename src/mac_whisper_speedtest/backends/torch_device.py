"""PyTorch's device and precision: as requested, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mac_whisper_speedtest.backends import cuda
from mac_whisper_speedtest.backends.adapter import (
    LibraryAdapter,
    LoadParams,
    ModelUnusableError,
)
from mac_whisper_speedtest.backends.backend import FLOATS

DEVICES = ("cuda", "mps", "cpu")  # ``auto`` is the first of these that is present
AUTO_PRECISION = "float32 on a CPU, else float16"


def prepare(params: LoadParams) -> tuple[str, str]:
    """The device and the precision to use; also sets torch's number of threads.

    Raises:
        ModelUnusableError: as `choose_device` and `choose_precision`.
    """
    import torch

    device = choose_device(params.device)
    precision = choose_precision(params.model.precision, device)
    torch.set_num_threads(params.threads)
    return device, precision


def choose_device(requested: str) -> str:
    """The device to use.

    Args:
        requested: one of ``DEVICES``, or ``auto``.

    Raises:
        ModelUnusableError: this machine, or this build of torch, has no such device.
    """
    import torch

    unusable = cuda.unusable_by_torch(torch)
    present = {
        "cuda": torch.cuda.is_available() and not unusable,
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    available = [name for name in DEVICES if present[name]]
    if requested == "auto":
        return available[0]
    if requested not in available:
        names = ", ".join(available)
        raise ModelUnusableError(
            f"torch {torch.__version__} has no device {requested!r} here, only {names}"
            + (f": {unusable}" if requested == "cuda" and unusable else "")
        )
    return requested


def choose_precision(requested: str, device: str) -> str:
    """The precision to compute in: ``auto`` is float16 on a GPU, float32 on a CPU.

    Raises:
        ModelUnusableError: anything but float32, and float16 on a GPU.
    """
    if requested == "auto":
        return "float32" if device == "cpu" else "float16"
    if requested == "float16" and device == "cpu":
        raise ModelUnusableError("float16 is emulated on a CPU; compute in float32 there")
    if requested not in FLOATS:
        raise ModelUnusableError(f"computes in float16 or float32, not in {requested}")
    return requested


def facts(device: str) -> dict[str, str]:
    """Facts for the record: why a visible GPU is not in use."""
    import torch

    unusable = cuda.unusable_by_torch(torch) if device == "cpu" else ""
    return {"cuda": unusable} if unusable else {}


class TorchAdapter(LibraryAdapter):
    """An adapter with a torch module as its ``_model``."""

    _model: Any

    def import_library(self) -> Mapping[str, str]:
        """Import the modules, and return the versions, with torch's version of CUDA."""
        versions = super().import_library()
        import torch

        return {**versions, "cuda": torch.version.cuda} if torch.version.cuda else versions

    def synchronize(self) -> None:
        """Wait until the device has finished all queued work; a CPU has no queue."""
        wait_for(self._model.device.type)


def wait_for(device: str) -> None:
    """Wait until ``cuda`` or ``mps`` has done all queued work."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
