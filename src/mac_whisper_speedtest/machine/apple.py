"""What a Mac's own programs say of it: its system, its model, its cores by kind and its GPU.

Parsers of `sw_vers`, `sysctl` and `ioreg`, tested with constructed answers in their formats.
"""

from __future__ import annotations

import json
import plistlib
import re
import xml.parsers.expat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mac_whisper_speedtest.machine.reader import SYSCTL, Answer, Reader, Unknown

_SW_VERS = "/usr/bin/sw_vers"
_IOREG = "/usr/sbin/ioreg"
_PROFILER_TIMEOUT_S = 8.0  # the slowest of these programs

_FAST_KINDS = {"Super", "Performance"}
"""Names of kinds of core on which work that is split evenly does not wait for one of them. The
first kind counts whatever its name is."""


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
