"""Energy of Apple silicon, from the counters behind powermetrics, without its root."""

from __future__ import annotations

import importlib
from typing import Any

from mac_whisper_speedtest.machine.joules import Count, Counts
from mac_whisper_speedtest.machine.reader import Unknown, attempt

_MILLI = 1e-3
_ALONE = ("gpu_mj", "gpu_sram_mj", "ane_mj", "dram_mj")
_CLUSTERS = ("efficiency_cluster_mj", "performance_cluster_mj")


class AppleEnergy:
    """zeus-apple-silicon's cumulative counters: CPU, GPU, its SRAM, Neural Engine and DRAM.

    They are the chip's own model of its energy, not a sensor's: hence ``estimate``. They are of the
    whole chip, whoever uses it, and leave out the display, the drive and the power supply's loss.
    """

    name = "apple"
    quality = "estimate"

    def __init__(self, monitor: Any) -> None:
        """Read ``monitor``, an ``AppleEnergyMonitor``, or give the reason that stands for it."""
        self._monitor = monitor

    def read(self) -> Counts | Unknown:
        """``cpu``, ``gpu``, ``gpu_sram``, ``ane``, ``dram``, as far as the chip has them."""
        if isinstance(self._monitor, Unknown):
            return self._monitor
        return counts(self._monitor.get_cumulative_energy())


def open_monitor() -> Any:
    """The library's monitor, or an `Unknown`: no Apple silicon, a virtual machine, no library."""
    try:
        library = importlib.import_module("zeus_apple_silicon")
    except ImportError:
        hint = "python -m pip install 'mac-whisper-speedtest[mac]'"
        return Unknown(f"zeus-apple-silicon is not installed (Python 3.13 at most): {hint}")
    return attempt(library.AppleEnergyMonitor)


def counts(metrics: Any) -> Counts | Unknown:
    """The domains of one reading.

    The CPU is ``cpu_total_mj``; where a chip has none, the sum of its clusters. Single cores are
    never added up: they leave out the cache and fabric that a cluster shares.

    Args:
        metrics: with the attributes of ``AppleEnergyMetrics``: millijoules, ``None`` where the chip
            has no such channel.
    """
    found: dict[str, Count] = {}
    total = getattr(metrics, "cpu_total_mj", None)
    if total is None:
        clusters = [getattr(metrics, name, None) for name in _CLUSTERS]
        known = [value for each in clusters if each is not None for value in each]
        total = sum(known) if known else None
    if total is not None:
        found["cpu"] = Count(total * _MILLI)
    for name in _ALONE:
        value = getattr(metrics, name, None)
        if value is not None:
            found[name.removesuffix("_mj")] = Count(value * _MILLI)
    return found or Unknown("the chip names no energy channel")
