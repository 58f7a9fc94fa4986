"""What a Mac reports of itself: its system, its model, its cores by kind, its GPU and its energy.

Parsers of `sw_vers`, `sysctl` and `ioreg`, tested with constructed answers in their formats.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import plistlib
import re
import sys
import xml.parsers.expat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mac_whisper_speedtest.machine.reader import SYSCTL, Answer, Reader, Unknown, attempt

_SW_VERS = "/usr/bin/sw_vers"
_IOREG = "/usr/sbin/ioreg"
_PROFILER_TIMEOUT_S = 8.0  # the slowest of these programs

_FAST_KINDS = {"Super", "Performance"}
"""Kinds of core that are fast enough for evenly split work: no thread waits for a slow one. The
first kind always counts."""


@dataclass(frozen=True, slots=True)
class CoreKind:
    """One kind of core: a performance level of XNU.

    Attributes:
        name: as the system calls it: ``Super``, ``Performance``, ``Efficiency``; ``?`` if it has
            none.
        physical: the number of such cores.
        fast: whether a backend gets a thread on each.
    """

    name: str
    physical: int
    fast: bool


@dataclass(frozen=True, slots=True)
class MacGpu:
    """A GPU of a Mac; ``cores`` is ``None`` for those that are not Apple silicon's."""

    model: str
    cores: int | None = None


def system(reader: Reader) -> tuple[Answer, Answer]:
    """The release and the build of macOS.

    Not from ``platform.mac_ver``: in a Python that was built with an older SDK, macOS 26 is 16.0
    (CPython issue 135675).
    """
    return reader.run([_SW_VERS, "-productVersion"]), reader.run([_SW_VERS, "-buildVersion"])


def core_kinds(reader: Reader) -> tuple[CoreKind, ...] | Unknown:
    """The kinds of core, the fastest first; see `parse_core_kinds`."""
    return parse_core_kinds(reader.run([SYSCTL, "hw"]))


def parse_core_kinds(hw: Answer) -> tuple[CoreKind, ...] | Unknown:
    """The kinds of core in what ``sysctl hw`` prints, the fastest first.

    Empty where there is one kind without a name: on Intel Macs and in some virtual machines.
    """
    if isinstance(hw, Unknown):
        return hw
    values = hw_values(hw)
    if not values.get("physicalcpu", "").isdecimal():
        return Unknown("sysctl does not report hw.physicalcpu")
    found: list[CoreKind] = []
    levels = values.get("nperflevels", "0")
    for level in range(int(levels) if levels.isdecimal() else 0):
        count = values.get(f"perflevel{level}.physicalcpu", "")
        if count.isdecimal() and int(count):
            name = values.get(f"perflevel{level}.name", "?")
            found.append(CoreKind(name, int(count), not found or name in _FAST_KINDS))
    return tuple(found)


def hw_values(hw: str) -> dict[str, str]:
    """The variables that ``sysctl hw`` prints, by name without ``hw.``."""
    return dict(re.findall(r"^hw\.([\w.]+): (.+)$", hw, re.MULTILINE))


def fast_cores(kinds: Sequence[CoreKind]) -> int:
    """The number of cores that are not there to save energy; 0 where no kind is known.

    M5 Pro and Max have Super and Performance cores and no others; older chips have Performance and
    Efficiency cores.
    """
    return sum(kind.physical for kind in kinds if kind.fast)


def efficiency_cpus(reader: Reader, kinds: Sequence[CoreKind]) -> frozenset[int] | Unknown:
    """The numbers of the logical CPUs that are not fast, as the kernel counts their times.

    No order of them is documented, and chips of two dies repeat theirs. The device tree names the
    cluster of each (XNU, ``ml_parse_cpu_topology``: ``cluster-type`` and ``logical-cpu-id``).
    """
    slow = sum(kind.physical for kind in kinds if not kind.fast)
    if not slow:
        return frozenset()
    listed = reader.run([_IOREG, "-p", "IODeviceTree", "-n", "cpus", "-r", "-d2", "-a"])
    found = parse_clusters(listed)
    if isinstance(found, Unknown):
        return found
    cpus = frozenset(number for number, cluster in found.items() if cluster == "E")
    if len(cpus) != slow:
        return Unknown(f"the device tree names {len(cpus)} efficiency cores, sysctl {slow}")
    return cpus


def parse_clusters(listed: Answer) -> dict[int, str] | Unknown:
    """Logical CPU → letter of its cluster, from ioreg's property list of the device tree."""
    if isinstance(listed, Unknown):
        return listed
    found = {}
    for entry in _entries(listed):
        number, cluster = entry.get("logical-cpu-id"), entry.get("cluster-type")
        if isinstance(number, bytes) and len(number) >= 4:  # a cell of the tree
            number = int.from_bytes(number[:4], "little")
        if isinstance(cluster, bytes):
            cluster = cluster.rstrip(b"\0").decode("ascii", "replace")
        if isinstance(number, int) and isinstance(cluster, str) and cluster:
            found[number] = cluster
    return found or Unknown("ioreg names no cluster of a core")


def _entries(listed: str) -> Iterator[dict[str, Any]]:
    """The entries of a property list of ioreg, and those below them."""
    try:
        waiting = [plistlib.loads(listed.encode())] if listed else []
    except (ValueError, xml.parsers.expat.ExpatError):
        return
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += reversed(each)
        elif isinstance(each, dict):
            yield each
            waiting.append(each.get("IORegistryEntryChildren"))


def gpus(reader: Reader) -> list[MacGpu] | Unknown:
    """The GPUs: of Apple silicon with its cores, else as ``system_profiler`` lists them."""
    found = parse_apple_gpus(reader.run([_IOREG, "-rc", "AGXAccelerator", "-d1", "-a"]))
    if isinstance(found, list):
        return found
    displays = ["/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"]
    return parse_displays(reader.run(displays, timeout_s=_PROFILER_TIMEOUT_S))


def parse_apple_gpus(listed: Answer) -> list[MacGpu] | Unknown:
    """The GPU of Apple silicon, from ioreg's property list."""
    if isinstance(listed, Unknown):
        return listed
    for entry in _entries(listed):
        cores = entry.get("gpu-core-count")
        if isinstance(cores, int):
            return [MacGpu(str(entry.get("model", "Apple GPU")), cores)]
    return Unknown("ioreg lists no Apple GPU")


def parse_displays(listed: Answer) -> list[MacGpu] | Unknown:
    """The GPUs of a virtual machine or an Intel Mac, from system_profiler's JSON."""
    if isinstance(listed, Unknown):
        return listed
    try:
        entries = json.loads(listed)["SPDisplaysDataType"]
        return [MacGpu(str(entry["sppci_model"])) for entry in entries if "sppci_model" in entry]
    except (ValueError, LookupError, TypeError):
        return Unknown("system_profiler's list cannot be read")


# Energy, from the chip's counters.


_LIBRARY = "zeus_apple_silicon"
_TRIAL = f"import {_LIBRARY}; {_LIBRARY}.AppleEnergyMonitor().get_cumulative_energy()"
_TRIAL_TIMEOUT_S = 15.0  # macOS's crash reporter holds a dying process for some seconds
_COMPONENTS = ("gpu_mj", "gpu_sram_mj", "ane_mj", "dram_mj")
_CLUSTERS = ("efficiency_cluster_mj", "performance_cluster_mj")


@functools.cache
def open_energy_monitor() -> Any:
    """zeus-apple-silicon's ``AppleEnergyMonitor``, or an `Unknown`; opened once.

    Tried in a separate process first: if the system has no such channels, as in virtual
    machines, the library (1.1.0, ``initialize`` in apple_energy.hpp) takes the size of a null
    pointer, and that would end the tool.
    """
    if importlib.util.find_spec(_LIBRARY) is None:
        if sys.version_info >= (3, 14):
            return Unknown("zeus-apple-silicon has no wheel for this Python (for 3.13 it has)")
        hint = "python -m pip install 'mac-whisper-speedtest[mac]'"
        return Unknown(f"zeus-apple-silicon is not installed: {hint}")
    tried = Reader().run([sys.executable, "-P", "-c", _TRIAL], timeout_s=_TRIAL_TIMEOUT_S)
    if isinstance(tried, Unknown):
        return Unknown(f"zeus-apple-silicon does not work here: {tried.reason}")
    return attempt(lambda: importlib.import_module(_LIBRARY).AppleEnergyMonitor())


def energy_mj(metrics: Any) -> dict[str, float] | Unknown:
    """Domain → millijoules of one reading of the monitor.

    The CPU is ``cpu_total_mj``; where a chip has none, the sum of its clusters. Single cores
    are never added: they leave out the cache and fabric that a cluster shares. Without a figure for
    the CPU a sum would be of another thing than on other Macs.

    Args:
        metrics: an ``AppleEnergyMetrics``: millijoules, ``None`` where the chip has no such
            channel.
    """
    total = getattr(metrics, "cpu_total_mj", None)
    if total is None:
        clusters = [getattr(metrics, name, None) for name in _CLUSTERS]
        known = [value for each in clusters if each is not None for value in each]
        if not known:
            return Unknown("the chip has no energy channel of its CPU that the library knows")
        total = sum(known)
    values = {name.removesuffix("_mj"): getattr(metrics, name, None) for name in _COMPONENTS}
    return {"cpu": total} | {name: each for name, each in values.items() if each is not None}


# Memory that processor and GPU share.

_LARGE_BYTES = 36 << 30
"""From this much memory on, Metal recommends three quarters of it, below two thirds: the
``recommendedMaxWorkingSetSize`` that llama.cpp's users report of 8 to 192 GB. Metal itself is not
asked: that would take its framework into the tool."""


def working_set(limit_mb: Answer, total_bytes: int) -> int | None:
    """What Metal's buffers may have, in bytes; ``None`` where no memory is shared (Intel).

    Args:
        limit_mb: of ``iogpu.wired_limit_mb``, which users raise: MiB, or 0 for the default.
        total_bytes: memory of the machine.
    """
    if isinstance(limit_mb, Unknown) or not limit_mb.strip().isdecimal():
        return None
    if requested := int(limit_mb):
        return requested << 20
    return total_bytes * 3 // 4 if total_bytes >= _LARGE_BYTES else total_bytes * 2 // 3
