"""NVIDIA's management library: opened once, and asked in words of this program."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mac_whisper_speedtest.machine.reader import Unknown

T = TypeVar("T")

HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
"""Bits of the mask of why clocks are low (nvml.h, nvmlClocksEventReasons)."""
SW_POWER_CAP = 0x4

THROTTLE_WORDS = {
    SW_POWER_CAP: "power cap",
    HW_SLOWDOWN: "hardware slowdown",
    SW_THERMAL: "thermal (driver)",
    HW_THERMAL: "thermal (hardware)",
    POWER_BRAKE: "power brake",
}
"""The bits that hold a GPU back; an idle GPU and clocks that the user chose are no throttling."""

OPEN_TIMEOUT_S = 8.0
"""Without persistence mode the driver starts every GPU anew; a driver in trouble never answers."""

_DRIVER = Path("/proc/driver/nvidia/version")


class Nvml:
    """The GPUs of this machine, in NVML's order (by PCI bus), whatever CUDA_VISIBLE_DEVICES says.

    Every method raises what :func:`~mac_whisper_speedtest.machine.reader.attempt` turns into a
    reason.
    """

    def __init__(self, library: Any) -> None:
        """Ask ``library``, the module ``pynvml`` of nvidia-ml-py, after its ``nvmlInit``."""
        self._library = library
        with _as_runtime_error(library):
            count = library.nvmlDeviceGetCount()
            self._gpus = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]

    def energy_mj(self) -> list[int]:
        """Millijoules each GPU has used since the driver was loaded (Volta and newer)."""
        return self._each(self._library.nvmlDeviceGetTotalEnergyConsumption)

    def used_bytes(self) -> int:
        """Memory in use on all GPUs, by anyone."""
        found = self._each(self._library.nvmlDeviceGetMemoryInfo)
        return sum(int(each.used) for each in found)

    def used_by(self, pids: Collection[int]) -> int | None:
        """Memory that these processes use on all GPUs, in bytes.

        ``None`` where the driver does not show them: it names processes as the host counts them,
        which a container does not.
        """
        total, seen = 0, False
        for running in self._each(self._library.nvmlDeviceGetComputeRunningProcesses):
            for process in running:
                if process.pid in pids and process.usedGpuMemory is not None:
                    total += int(process.usedGpuMemory)
                    seen = True
        return total if seen else None

    def sm_clocks_mhz(self) -> list[int]:
        """Each GPU's present clock of its multiprocessors, in MHz."""
        library = self._library
        return self._each(lambda gpu: library.nvmlDeviceGetClockInfo(gpu, library.NVML_CLOCK_SM))

    def throttle_masks(self) -> list[int]:
        """Each GPU's mask of why its clocks are low."""
        # Its name since driver 535, and before.
        new = getattr(self._library, "nvmlDeviceGetCurrentClocksEventReasons", None)
        try:
            if new is not None:
                return self._each(new)
        except RuntimeError:
            pass
        return self._each(self._library.nvmlDeviceGetCurrentClocksThrottleReasons)

    def _each(self, look: Callable[[Any], T]) -> list[T]:
        with _as_runtime_error(self._library):
            return [look(gpu) for gpu in self._gpus]


def throttled(masks: Collection[int]) -> tuple[str, ...]:
    """The reasons in these masks that hold a GPU back, in words, each once."""
    together = functools.reduce(lambda left, right: left | right, masks, 0)
    return tuple(word for bit, word in THROTTLE_WORDS.items() if together & bit)


@functools.cache
def shared() -> Nvml | Unknown:
    """NVML, opened once for this process; or why it cannot be."""
    if not _DRIVER.exists():
        return Unknown("no NVIDIA driver is loaded")
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        hint = "python -m pip install 'mac-whisper-speedtest[nvidia]'"
        return Unknown(f"nvidia-ml-py is not installed: {hint}")
    return within(OPEN_TIMEOUT_S, lambda: _opened(library))


def within(seconds: float, look: Callable[[], T]) -> T | Unknown:
    """What ``look`` returns, unless it fails or takes longer than this.

    What takes longer goes on in a thread that nobody waits for.
    """
    found: list[T | Unknown] = []

    def run() -> None:
        try:
            found.append(look())
        except Exception as error:  # noqa: BLE001 - whatever a driver's library raises is a reason
            found.append(Unknown(f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else Unknown(f"no answer in {seconds:g} s")


def _opened(library: Any) -> Nvml:
    library.nvmlInit()
    return Nvml(library)


@contextmanager
def _as_runtime_error(library: Any) -> Iterator[None]:
    """NVML's errors share a class of its own that is only known once it is imported."""
    try:
        yield
    except library.NVMLError as error:
        raise RuntimeError(str(error)) from error
