"""NVIDIA GPUs: NVML opened once per process, and the probe of device memory."""

from __future__ import annotations

import functools
import importlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mac_whisper_speedtest.machine import cpu
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Unknown, attempt, within

T = TypeVar("T")

HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
"""Bits of the mask of reasons for low clocks (nvml.h, nvmlClocksEventReasons)."""
SW_POWER_CAP = 0x4

THROTTLE_WORDS = {
    SW_POWER_CAP: "power cap",
    HW_SLOWDOWN: "hardware slowdown",
    SW_THERMAL: "thermal (driver)",
    HW_THERMAL: "thermal (hardware)",
    POWER_BRAKE: "power brake",
}
"""The bits that mean throttling; an idle GPU and clocks chosen by the user do not."""

OPEN_TIMEOUT_S = 8.0
"""Without persistence mode the driver restarts every GPU first; a faulty driver never answers."""

_DRIVER = Path("/proc/driver/nvidia/version")


_APPLES = frozenset({"metal", "mps", "coreml"})
"""Names of the devices that are Apple's GPU, or may be."""


def unused_kind(present: Collection[str], usable: Collection[str], used: Collection[str]) -> str:
    """The kind of GPU that is present and could have been used, and is not; else empty.

    Args:
        present: the kinds of GPU that the machine has, ``cuda`` and ``metal``.
        usable: the devices that a backend can be built for.
        used: the devices that its library sees here, or that it ran on.
    """
    if "cuda" in present and "cuda" in usable and "cuda" not in used:
        return "cuda"
    if "metal" in present and _APPLES & set(usable) and not _APPLES & set(used):
        return "metal"
    return ""


class Nvml:
    """The GPUs of this machine, in NVML's order (by PCI bus), regardless of CUDA_VISIBLE_DEVICES.

    Every method raises what :func:`~mac_whisper_speedtest.machine.reader.attempt` turns into a
    reason.
    """

    def __init__(self, library: Any) -> None:
        """Use ``library``, the module ``pynvml`` of nvidia-ml-py, after its ``nvmlInit``."""
        self._library = library
        with _as_runtime_error(library):
            count = library.nvmlDeviceGetCount()
            self._gpus = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]

    def energy_mj(self) -> list[int]:
        """Millijoules each GPU has used since the driver was loaded (Volta and newer)."""
        return self._each(self._library.nvmlDeviceGetTotalEnergyConsumption)

    def used_bytes(self) -> int:
        """Memory in use on all GPUs, by all programs."""
        found = self._each(self._library.nvmlDeviceGetMemoryInfo)
        return sum(int(each.used) for each in found)

    def used_by(self, pids: Collection[int]) -> int | None:
        """Memory that these processes use on all GPUs, in bytes.

        ``None`` where the driver does not show them: it uses the host's process ids, which differ
        in a container.
        """
        total, seen = 0, False
        for running in self._each(self._library.nvmlDeviceGetComputeRunningProcesses):
            for process in running:
                if process.pid in pids and process.usedGpuMemory is not None:
                    total += int(process.usedGpuMemory)
                    seen = True
        return total if seen else None

    def sm_clocks_mhz(self) -> list[int]:
        """The present clock of each GPU's multiprocessors, in MHz."""
        library = self._library
        return self._each(lambda gpu: library.nvmlDeviceGetClockInfo(gpu, library.NVML_CLOCK_SM))

    def throttle_masks(self) -> list[int]:
        """Each GPU's bit mask of reasons for low clocks."""
        # The name since driver 535; below, the older name.
        new = getattr(self._library, "nvmlDeviceGetCurrentClocksEventReasons", None)
        try:
            if new is not None:
                return self._each(new)
        except RuntimeError:
            pass
        return self._each(self._library.nvmlDeviceGetCurrentClocksThrottleReasons)

    def _each(self, query: Callable[[Any], T]) -> list[T]:
        with _as_runtime_error(self._library):
            return [query(gpu) for gpu in self._gpus]


def throttled(masks: Collection[int]) -> tuple[str, ...]:
    """The reasons for throttling in these masks, in words, each once."""
    together = functools.reduce(lambda left, right: left | right, masks, 0)
    return tuple(word for bit, word in THROTTLE_WORDS.items() if together & bit)


@functools.cache
def shared() -> Nvml | Unknown:
    """NVML, opened once for this process, or why it cannot be opened."""
    if not _DRIVER.exists():
        return Unknown("no NVIDIA driver is loaded")
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        hint = "python -m pip install 'mac-whisper-speedtest[nvidia]'"
        return Unknown(f"nvidia-ml-py is not installed: {hint}")
    return within(OPEN_TIMEOUT_S, lambda: _opened(library))


def _opened(library: Any) -> Nvml:
    library.nvmlInit()
    return Nvml(library)


@contextmanager
def _as_runtime_error(library: Any) -> Iterator[None]:
    """Convert NVML's errors, whose class exists only once the library is imported."""
    try:
        yield
    except library.NVMLError as error:
        raise RuntimeError(str(error)) from error


# The peak memory of a worker's tree on NVIDIA GPUs during a span.


PERIOD_S = 0.05
"""Interval between polls by a thread of the tool, because NVML keeps no peak; shorter peaks are
missed."""

COST_SHARE = 0.0025
"""Maximum share of all cores for polling: where a poll is slow, there are fewer of them."""

_POLLS_PER_WALK = 20
"""The worker's tree is walked once a second, because that costs more than querying the driver."""

UNITS = {"gpu_peak_bytes": "bytes", "gpu_polls": ""}


@dataclass(slots=True)
class Peak:
    """The highest figures so far, in bytes.

    Attributes:
        own: of the worker's tree; ``None`` while the driver shows none of its processes.
        device: of all GPUs, by all programs.
        polls: the number of polls.
        reason: why the last failed poll failed; empty if none did.
    """

    own: int | None = None
    device: int | None = None
    polls: int = 0
    reason: str = ""

    def add(self, own: int | None, device: int) -> None:
        """Include one poll."""
        self.polls += 1
        self.device = device if self.device is None else max(self.device, device)
        if own is not None:
            self.own = own if self.own is None else max(self.own, own)


class GpuMemory:
    """Device memory, polled every `PERIOD_S`, or more rarely (`COST_SHARE`).

    Create it before the worker starts: the memory in use at that time is the baseline where the
    driver does not show memory by process (containers). ``gpu_peak_bytes`` is the tree's own, or
    the rise over that baseline, marked ``device total``, which includes other programs' memory.
    """

    name = "gpu memory"

    def __init__(self, library: Nvml | Unknown | None = None) -> None:
        self._nvml = shared() if library is None else library
        self._rest = self._device()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._peak = Peak()

    def begin(self, target: Target) -> None:
        """Poll once, then continue in a thread."""
        self._peak, self._over = Peak(), threading.Event()
        if isinstance(self._nvml, Unknown) or target.pid is None:
            return
        self._poll(self._nvml, _tree(target.pid))
        # Each thread has its own event: a thread blocked by the driver must not see the next
        # span's.
        arguments = (self._nvml, target.pid, self._over)
        self._thread = threading.Thread(target=self._poll_until, args=arguments, daemon=True)
        self._thread.start()

    def end(self, target: Target) -> dict[str, Reading]:
        """Stop, look once more, and give the highest that was seen."""
        self._over.set()
        if isinstance(self._nvml, Unknown):
            return unmeasured(UNITS, self._nvml.reason)
        if target.pid is None or self._thread is None:
            return unmeasured(UNITS, "there is no worker to meter")
        self._thread.join(OPEN_TIMEOUT_S)
        stuck, self._thread = self._thread.is_alive(), None
        if stuck:
            return unmeasured(UNITS, "the driver does not answer")
        self._poll(self._nvml, _tree(target.pid))
        return readings(self._peak, self._rest)

    def _poll_until(self, library: Nvml, pid: int, over: threading.Event) -> None:
        pids, wait_s, polls = _tree(pid), PERIOD_S, 0
        while not over.wait(wait_s):
            polls += 1
            if polls % _POLLS_PER_WALK == 0:
                pids = _tree(pid)
            self._poll(library, pids)
            wait_s = period_s(time.thread_time() / polls, os.cpu_count() or 1)

    def _poll(self, library: Nvml, pids: frozenset[int]) -> None:
        found = attempt(lambda: (library.used_by(pids), library.used_bytes()))
        if isinstance(found, Unknown):
            self._peak.reason = found.reason
        else:
            self._peak.add(*found)

    def _device(self) -> int | Unknown:
        library = self._nvml
        return library if isinstance(library, Unknown) else attempt(library.used_bytes)


def period_s(poll_s: float, cores: int) -> float:
    """How long to wait between two polls that take ``poll_s`` of processor time each."""
    return max(PERIOD_S, poll_s / (COST_SHARE * cores))


def _tree(pid: int) -> frozenset[int]:
    """The process ids of the worker's tree; only its own where they cannot be read."""
    found = attempt(lambda: frozenset(cpu.pids(pid)))
    return frozenset({pid}) if isinstance(found, Unknown) else found


def readings(peak: Peak, rest: int | Unknown) -> dict[str, Reading]:
    """The figures of a span.

    Args:
        peak: of the span.
        rest: bytes in use on all GPUs before the worker started.
    """
    if not peak.polls:
        return unmeasured(UNITS, peak.reason or "NVML was never polled")
    polls = Reading(peak.polls, "")
    if peak.own is not None:
        return {"gpu_peak_bytes": Reading(peak.own, "bytes"), "gpu_polls": polls}
    if isinstance(rest, Unknown) or peak.device is None:
        reason = rest.reason if isinstance(rest, Unknown) else "the device's total is not known"
        return {"gpu_peak_bytes": Reading(None, "bytes", reason), "gpu_polls": polls}
    rise = max(0, peak.device - rest)
    if not rise:
        why = "the driver shows no process of the worker, and GPU memory did not rise"
        return {"gpu_peak_bytes": Reading(None, "bytes", why), "gpu_polls": polls}
    return {"gpu_peak_bytes": Reading(rise, "bytes", quality="device total"), "gpu_polls": polls}
