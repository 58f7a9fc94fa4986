"""Where PyTorch computes and in what: chosen openly, and never another than was asked for."""

from __future__ import annotations

from mac_whisper_speedtest.backends.adapter import ModelUnusableError

DEVICES = ("cuda", "mps", "cpu")  # in the order in which ``auto`` takes them


def choose_device(requested: str) -> str:
    """The device to use.

    Args:
        requested: one of ``DEVICES``, or ``auto``.

    Raises:
        ModelUnusableError: this machine, or this build of torch, has no such device.
    """
    import torch

    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    there = [name for name in DEVICES if present[name]]
    if requested == "auto":
        return there[0]
    if requested not in there:
        raise ModelUnusableError(
            f"torch {torch.__version__} has no device {requested!r} here, only {', '.join(there)}"
        )
    return requested


def choose_precision(requested: str, device: str) -> str:
    """What to compute in: ``auto`` is float16 on a GPU, float32 on a CPU.

    Raises:
        ModelUnusableError: anything but float32, and float16 on a GPU.
    """
    if requested == "auto":
        return "float32" if device == "cpu" else "float16"
    if requested == "float16" and device == "cpu":
        raise ModelUnusableError("float16 is emulated on a CPU; compute in float32 there")
    if requested not in {"float16", "float32"}:
        raise ModelUnusableError(f"computes in float16 or float32, not in {requested}")
    return requested


def wait_for(device: str) -> None:
    """Wait until the device has done everything that was queued; a CPU has no queue."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
