"""The most memory a worker's tree had on NVIDIA GPUs during a span."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from mac_whisper_speedtest.machine import gpu, tree
from mac_whisper_speedtest.machine.gpu import Nvml
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Unknown, attempt

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
        self._nvml = gpu.shared() if library is None else library
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
        self._thread.join(gpu.OPEN_TIMEOUT_S)
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
    found = attempt(lambda: frozenset(tree.pids(pid)))
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
