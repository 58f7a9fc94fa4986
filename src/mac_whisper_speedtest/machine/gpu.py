"""GPUs: whether one was left unused, and the peak memory of a worker on its NVIDIA GPU."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.machine import cpu, nvml
from mac_whisper_speedtest.machine.nvml import OPEN_TIMEOUT_S, Gpu, Nvml
from mac_whisper_speedtest.machine.probe import Quality, Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Unknown, attempt

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


# The peak memory of a worker's tree on its NVIDIA GPU during a span.


_HOST_PIDS = "pid:[4026531836]"
"""The process namespace of a Linux machine outside containers (PROC_PID_INIT_INO of its kernel).
NVML gives the process ids of that one only."""

PERIOD_S = 0.05
"""Interval between polls by a thread of the tool, because NVML keeps no peak; shorter peaks are
missed."""

COST_SHARE = 0.0025
"""Maximum share of all cores for polling: where a poll is slow, there are fewer of them."""

_POLLS_PER_WALK = 20
"""The worker's tree is walked once a second, because that costs more than querying the driver."""

READINGS = {
    "gpu_peak_bytes": Doc("the most device memory of the tree, polled every 50 ms", "bytes"),
    "gpu_polls": Doc("how often it was polled"),
}


@dataclass(slots=True)
class Peak:
    """The highest figures so far, in bytes.

    Attributes:
        own: memory of the worker's tree; ``None`` while the driver shows none of its processes.
        device: of the GPU, by all programs.
        shared: whether other programs than the worker computed on the GPU.
        polls: the number of polls.
        reason: of the last failed poll; empty if none failed.
    """

    own: int | None = None
    device: int | None = None
    shared: bool = False
    polls: int = 0
    reason: str = ""


class GpuMemory:
    """Device memory, polled every `PERIOD_S`, or more rarely (`COST_SHARE`).

    Create it before the worker starts: the memory in use at that time is the baseline where the
    driver does not show memory by process (containers). ``gpu_peak_bytes`` is the tree's own on the
    GPU that the worker names, or the rise of that GPU over the baseline, marked ``device total``.
    It is refused if other programs are known to use the GPU.
    """

    name = "gpu memory"

    def __init__(
        self, library: Nvml | Unknown | None = None, *, host_pids: bool | None = None
    ) -> None:
        """Read the baseline.

        Args:
            library: by default the instance shared by the whole process.
            host_pids: whether this process sees the process ids that NVML gives.
        """
        self._nvml = nvml.shared() if library is None else library
        self._host_pids = sees_host_pids() if host_pids is None else host_pids
        self._rest: dict[str, tuple[int | Unknown, Collection[int]]] = {}
        if isinstance(self._nvml, Nvml):
            for gpu in self._nvml.gpus:
                listed = attempt(partial(self._nvml.processes, gpu))
                self._rest[gpu.name] = (
                    attempt(partial(self._nvml.used_bytes, gpu)),
                    () if isinstance(listed, Unknown) else tuple(listed),
                )
        self._gpu: Gpu | Unknown = Unknown("NVML was never polled")
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._peak = Peak()

    def begin(self, target: Target) -> None:
        """Poll once, then continue in a thread, if the worker is on an NVIDIA GPU."""
        self._peak, self._over, self._thread = Peak(), threading.Event(), None
        library = self._nvml
        self._gpu = library if isinstance(library, Unknown) else library.gpu_of(target.gpu)
        if isinstance(library, Unknown) or isinstance(self._gpu, Unknown) or target.pid is None:
            return
        self._poll(library, self._gpu, _tree(target.pid))
        # Each thread has its own event: a thread blocked by the driver must not see the next
        # span's.
        arguments = (library, self._gpu, target.pid, self._over)
        self._thread = threading.Thread(target=self._poll_until, args=arguments, daemon=True)
        self._thread.start()

    def end(self, target: Target) -> dict[str, Reading]:
        """Poll once more, stop, and return the highest figures."""
        self._over.set()
        library, gpu = self._nvml, self._gpu
        if isinstance(library, Unknown):
            return unmeasured(READINGS, library.reason)
        if isinstance(gpu, Unknown):
            return unmeasured(READINGS, gpu.reason)
        if target.pid is None or self._thread is None:
            return unmeasured(READINGS, "there is no worker to meter")
        self._thread.join(OPEN_TIMEOUT_S)
        stuck, self._thread = self._thread.is_alive(), None
        if stuck:
            return unmeasured(READINGS, "the driver does not answer")
        self._poll(library, gpu, _tree(target.pid))
        return readings(self._peak, self._rest[gpu.name][0])

    def _poll_until(self, library: Nvml, gpu: Gpu, pid: int, over: threading.Event) -> None:
        pids, wait_s, polls = _tree(pid), PERIOD_S, 0
        while not over.wait(wait_s):
            polls += 1
            if polls % _POLLS_PER_WALK == 0:
                pids = _tree(pid)
            self._poll(library, gpu, pids)
            wait_s = period_s(time.thread_time() / polls, os.cpu_count() or 1)

    def _poll(self, library: Nvml, gpu: Gpu, pids: frozenset[int]) -> None:
        device = attempt(partial(library.used_bytes, gpu))
        if isinstance(device, Unknown):
            self._peak.reason = device.reason
            return
        listed = attempt(partial(library.processes, gpu))
        processes = {} if isinstance(listed, Unknown) else listed
        peak = self._peak
        peak.polls += 1
        peak.device = max(device, peak.device or 0)
        if self._host_pids:
            own = [used for pid, used in processes.items() if pid in pids and used is not None]
            peak.own = max(sum(own), peak.own or 0) if own else peak.own
            peak.shared = peak.shared or not processes.keys() <= pids
        else:
            # Its own process is among them under a number that is not known here.
            alone = len(processes) <= len(pids) and not self._rest[gpu.name][1]
            peak.shared = peak.shared or not alone


def sees_host_pids() -> bool:
    """Whether this process sees the machine's process ids, not a container's.

    In a container, an id from NVML may coincide with that of another process.
    """
    try:
        return os.readlink("/proc/self/ns/pid") == _HOST_PIDS  # noqa: PTH115 - no path
    except OSError:
        return False


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
        rest: bytes in use on the worker's GPU before the worker started.
    """
    if not peak.polls:
        return unmeasured(READINGS, peak.reason or "NVML was never polled")
    polls = Reading(peak.polls, "")
    if peak.own is not None:
        return {"gpu_peak_bytes": Reading(peak.own, "bytes"), "gpu_polls": polls}
    rise = 0 if isinstance(rest, Unknown) else max(0, (peak.device or 0) - rest)
    why = ""
    if isinstance(rest, Unknown):
        why = rest.reason
    elif peak.shared:
        why = "the driver does not show which memory is the worker's, and others use the GPU too"
    elif not rise:
        why = "the driver shows no process of the worker, and GPU memory did not rise"
    if why:
        return {"gpu_peak_bytes": Reading(None, "bytes", why), "gpu_polls": polls}
    return {
        "gpu_peak_bytes": Reading(rise, "bytes", quality=Quality.DEVICE_TOTAL),
        "gpu_polls": polls,
    }
