"""NVIDIA's management library: opened once, and asked in words of this program."""

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
from mac_whisper_speedtest.machine.reader import Unknown, attempt

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


# The most memory a worker's tree had on NVIDIA GPUs during a span.


PERIOD_S = 0.05
"""NVML keeps no peak, so it is looked at this often, in a thread of the tool; shorter peaks are
missed."""

COST_SHARE = 0.0025
"""Of all cores, at the most, for looking: where a look is slow, there are fewer of them."""

_POLLS_PER_WALK = 20
"""The worker's tree is walked once a second, because that costs more than asking the driver."""

UNITS = {"gpu_peak_bytes": "bytes", "gpu_polls": ""}


@dataclass(slots=True)
class Peak:
    """The highest figures so far, in bytes.

    Attributes:
        own: of the worker's tree; ``None`` while the driver shows none of its processes.
        device: of all GPUs, by anyone.
        polls: how often was looked.
        reason: why the last look failed; empty if none did.
    """

    own: int | None = None
    device: int | None = None
    polls: int = 0
    reason: str = ""

    def add(self, own: int | None, device: int) -> None:
        """Take one look into account."""
        self.polls += 1
        self.device = device if self.device is None else max(self.device, device)
        if own is not None:
            self.own = own if self.own is None else max(self.own, own)


class GpuMemory:
    """Device memory, polled every `PERIOD_S`, or more rarely (`COST_SHARE`).

    Make one before the worker starts: what the GPUs hold then is the baseline where the driver
    hides whose memory it is (containers). ``gpu_peak_bytes`` is the tree's own, or the rise over
    that baseline, marked ``device total``: other programs' memory is in it.
    """

    name = "gpu memory"

    def __init__(self, library: Nvml | Unknown | None = None) -> None:
        self._nvml = shared() if library is None else library
        self._rest = self._device()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._peak = Peak()

    def begin(self, target: Target) -> None:
        """Look once, and go on looking in a thread."""
        self._peak, self._over = Peak(), threading.Event()
        if isinstance(self._nvml, Unknown) or target.pid is None:
            return
        self._poll(self._nvml, _tree(target.pid))
        # Each thread has its own event: one that a driver holds up must not see the next span's.
        arguments = (self._nvml, target.pid, self._over)
        self._thread = threading.Thread(target=self._go_on, args=arguments, daemon=True)
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

    def _go_on(self, library: Nvml, pid: int, over: threading.Event) -> None:
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


def period_s(look_s: float, cores: int) -> float:
    """How long to wait between two looks that take ``look_s`` of a processor's time each."""
    return max(PERIOD_S, look_s / (COST_SHARE * cores))


def _tree(pid: int) -> frozenset[int]:
    """The worker's processes; only itself where they cannot be seen."""
    found = attempt(lambda: frozenset(cpu.pids(pid)))
    return frozenset({pid}) if isinstance(found, Unknown) else found


def readings(peak: Peak, rest: int | Unknown) -> dict[str, Reading]:
    """Figures from the highest looks.

    Args:
        peak: the highest of the span.
        rest: bytes in use on all GPUs before the worker started.
    """
    if not peak.polls:
        return unmeasured(UNITS, peak.reason or "NVML was never asked")
    polls = Reading(peak.polls, "")
    if peak.own is not None:
        return {"gpu_peak_bytes": Reading(peak.own, "bytes"), "gpu_polls": polls}
    if isinstance(rest, Unknown) or peak.device is None:
        reason = rest.reason if isinstance(rest, Unknown) else "the device's total is not known"
        return {"gpu_peak_bytes": Reading(None, "bytes", reason), "gpu_polls": polls}
    rise = max(0, peak.device - rest)
    if not rise:
        why = "the driver shows no process of the worker, and the GPUs hold no more than before it"
        return {"gpu_peak_bytes": Reading(None, "bytes", why), "gpu_polls": polls}
    return {"gpu_peak_bytes": Reading(rise, "bytes", quality="device total"), "gpu_polls": polls}
