"""Memory of the worker's tree on Linux: what is resident, and the highest it has been."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from mac_whisper_speedtest.machine import cgroup, cpu
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

LINUX_UNITS = {
    "rss_bytes": "bytes",
    "peak_rss_bytes": "bytes",
    "tree_peak_rss_bytes": "bytes",
    "cgroup_peak_bytes": "bytes",
}


class LinuxMemory:
    """Resident memory of the tree now (``rss_bytes``), and its high-water marks.

    ``peak_rss_bytes`` is the worker's own ``VmHWM`` since it started (proc(5)).
    ``tree_peak_rss_bytes`` is the sum of all its processes' marks: they need not have been reached
    at the same time and may share pages, so it is an upper bound. ``cgroup_peak_bytes`` is the mark
    of the worker's whole control group, with this tool and the files that it has cached; it is
    given only if it rose during the span, because otherwise it tells of something else.
    """

    name = "memory"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._group_before: int | Unknown = Unknown("begin was not called")

    def begin(self, target: Target) -> None:
        """Remember the control group's mark."""
        self._group_before = self._group_peak(target)

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the marks."""
        pid = target.pid
        if pid is None:
            return unmeasured(LINUX_UNITS, "there is no worker to meter")
        found = attempt(lambda: self._tree(pid))
        figures = unmeasured(LINUX_UNITS, found.reason) if isinstance(found, Unknown) else found
        figures["cgroup_peak_bytes"] = risen(self._group_before, self._group_peak(target))
        return figures

    def _tree(self, pid: int) -> dict[str, Reading]:
        texts = []
        for process in cpu.members(pid):
            text = self._reader.read(f"/proc/{process.pid}/status")
            if isinstance(text, str):
                texts.append(text)
            elif process.pid == pid:
                raise psutil.NoSuchProcess(pid)
        return of_statuses(texts)

    def _group_peak(self, target: Target) -> int | Unknown:
        if target.pid is None:
            return Unknown("there is no worker to meter")
        return cgroup.memory_peak(self._reader, target.pid)


def of_statuses(texts: list[str]) -> dict[str, Reading]:
    """Figures from the texts of /proc/PID/status, the worker's first."""
    rss = [_field(text, "VmRSS") for text in texts]
    peaks = [_field(text, "VmHWM") for text in texts]
    return {
        "rss_bytes": _sum(rss, "VmRSS"),
        "peak_rss_bytes": _sum(peaks[:1], "VmHWM"),
        "tree_peak_rss_bytes": _sum(peaks, "VmHWM", "upper bound" if len(peaks) > 1 else ""),
    }


def risen(before: int | Unknown, after: int | Unknown) -> Reading:
    """The mark of the control group, if the span has set it."""
    for each in (before, after):
        if isinstance(each, Unknown):
            return Reading(None, "bytes", each.reason)
    assert isinstance(before, int)
    assert isinstance(after, int)
    if after <= before:
        return Reading(None, "bytes", "the control group's peak is from before this span")
    return Reading(after, "bytes", quality="whole control group")


def _field(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _sum(values: list[int | None], name: str, quality: str = "") -> Reading:
    known = [value for value in values if value is not None]
    if not known or values[0] is None:
        return Reading(None, "bytes", f"/proc has no {name} of the worker")
    return Reading(sum(known), "bytes", quality=quality)


# What macOS accounts to one process: ``proc_pid_rusage`` and the layout of what it gives.


UUID_BYTES = 16
_WORDS = {4: 35, 6: 56}
"""64-bit words after the UUID, by version (``rusage_info_v4`` and ``_v6`` in <sys/resource.h>)."""

_PHYS_FOOTPRINT = 7
_LIFETIME_MAX_PHYS_FOOTPRINT = 28
_ENERGY_NJ = 40
_NEURAL_FOOTPRINT = 44
_LIFETIME_MAX_NEURAL_FOOTPRINT = 45
_RESIDENT_SIZE = 6

_BUFFER_BYTES = 1024
"""More than any version takes, in case the kernel's grows."""


@dataclass(frozen=True, slots=True)
class Rusage:
    """One process's accounts, in bytes unless said otherwise.

    Attributes:
        resident: pages in memory, those of mapped files included.
        footprint: what Activity Monitor shows as memory: with Metal's buffers and compressed pages,
            without clean pages of mapped files.
        footprint_peak: the highest footprint of the process's life.
        neural: the ledger of the Neural Engine, kept apart; ``None`` before macOS 13.
        neural_peak: its highest.
        energy_nj: processor energy that the system attributes to the process, in nanojoules;
            ``None`` before macOS 13. Without the GPU and the Neural Engine.
    """

    resident: int
    footprint: int
    footprint_peak: int
    neural: int | None = None
    neural_peak: int | None = None
    energy_nj: int | None = None


def parse(buffer: bytes, version: int) -> Rusage:
    """Read the buffer that ``proc_pid_rusage`` has filled.

    Args:
        buffer: 16 bytes of UUID and native 64-bit words; 464 bytes in version 6, 296 in version 4.
        version: 4 or 6.

    Raises:
        ValueError: the buffer is too short for the version, or the version is not known here.
    """
    count = _WORDS.get(version)
    if count is None:
        raise ValueError(f"rusage_info version {version} is not known")
    needed = UUID_BYTES + 8 * count
    if len(buffer) < needed:
        raise ValueError(f"rusage_info_v{version} has {needed} bytes, not {len(buffer)}")
    words = struct.unpack_from(f"={count}Q", buffer, UUID_BYTES)

    def since_6(index: int) -> int | None:
        return words[index] if version >= 6 else None

    return Rusage(
        resident=words[_RESIDENT_SIZE],
        footprint=words[_PHYS_FOOTPRINT],
        footprint_peak=words[_LIFETIME_MAX_PHYS_FOOTPRINT],
        neural=since_6(_NEURAL_FOOTPRINT),
        neural_peak=since_6(_LIFETIME_MAX_NEURAL_FOOTPRINT),
        energy_nj=since_6(_ENERGY_NJ),
    )


def of_process(pid: int) -> Rusage:
    """Ask macOS about one of this user's processes. Version 6, or 4 before macOS 13.

    Raises:
        OSError: there is no such process, it is another user's, or this is not macOS.
        AttributeError: this system's library has no such function.
    """
    library = ctypes.CDLL("/usr/lib/libSystem.B.dylib", use_errno=True)
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    for version in sorted(_WORDS, reverse=True):
        if library.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(version), buffer) == 0:
            return parse(buffer.raw, version)
    code = ctypes.get_errno()
    raise OSError(code, f"proc_pid_rusage of process {pid} failed with errno {code}")


# Memory of the worker's tree on macOS: its footprint, and that of the Neural Engine.


MACOS_UNITS = {
    "rss_bytes": "bytes",
    "footprint_bytes": "bytes",
    "peak_footprint_bytes": "bytes",
    "neural_footprint_bytes": "bytes",
    "peak_neural_footprint_bytes": "bytes",
}


class MacMemory:
    """Footprints of all the tree's processes, and the highest of their lives.

    The footprint counts buffers of the GPU that the process has asked for, which resident memory
    misses, and leaves out weights that are mapped from a file and could be read again. The Neural
    Engine's memory is a ledger of its own. Peaks of several processes are added although they need
    not have been reached at the same time: then the sum is an upper bound.
    """

    name = "memory"

    def __init__(self, look: Callable[[int], Rusage] = of_process) -> None:
        self._look = look

    def begin(self, target: Target) -> None:
        """Nothing: the marks are kept by the system."""

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the marks."""
        pid = target.pid
        if pid is None:
            return unmeasured(MACOS_UNITS, "there is no worker to meter")
        found = attempt(lambda: self._tree(pid))
        return (
            unmeasured(MACOS_UNITS, found.reason) if isinstance(found, Unknown) else figures(found)
        )

    def _tree(self, pid: int) -> list[Rusage]:
        found = []
        for process in cpu.members(pid):
            try:
                found.append(self._look(process.pid))
            except OSError:
                if process.pid == pid:
                    raise
            except psutil.Error:
                continue
        return found


def figures(processes: Sequence[Rusage]) -> dict[str, Reading]:
    """The sums over a tree's processes (one at least), by name."""
    bound = "upper bound" if len(processes) > 1 else ""
    return {
        "rss_bytes": Reading(sum(each.resident for each in processes), "bytes"),
        "footprint_bytes": Reading(sum(each.footprint for each in processes), "bytes"),
        "peak_footprint_bytes": Reading(
            sum(each.footprint_peak for each in processes), "bytes", quality=bound
        ),
        "neural_footprint_bytes": _neural([each.neural for each in processes], ""),
        "peak_neural_footprint_bytes": _neural([each.neural_peak for each in processes], bound),
    }


def _neural(values: Sequence[int | None], quality: str) -> Reading:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Reading(None, "bytes", "this release of macOS does not tell (it takes 13)")
    return Reading(sum(known), "bytes", quality=quality)


# What the system says of its memory as a whole: swap, and how short memory is.


_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_PRESSURE = {"1": "normal", "2": "warning", "4": "critical"}


def swap_used(reader: Reader) -> int | Unknown:
    """Bytes in swap."""
    if reader.macos:
        return macos_swap(reader.sysctl("vm.swapusage"))
    return linux_swap(reader.read("/proc/meminfo"))


def macos_swap(text: Answer) -> int | Unknown:
    """Bytes in use, of ``total = 2048.00M  used = 1012.25M  free = 1035.75M  (encrypted)``."""
    if isinstance(text, Unknown):
        return text
    found = re.search(r"used = ([\d.,]+)([KMGT])", text)
    if not found:
        return Unknown("vm.swapusage does not say what is used")
    # Some locales print a comma for the point.
    return int(float(found[1].replace(",", ".")) * _UNITS[found[2]])


def linux_swap(meminfo: Answer) -> int | Unknown:
    """Bytes in use, from /proc/meminfo."""
    total, free = meminfo_bytes(meminfo, "SwapTotal"), meminfo_bytes(meminfo, "SwapFree")
    if isinstance(total, Unknown):
        return total
    return free if isinstance(free, Unknown) else total - free


def meminfo_bytes(text: Answer, name: str) -> int | Unknown:
    """One figure of /proc/meminfo, in bytes."""
    if isinstance(text, Unknown):
        return text
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else Unknown(f"/proc/meminfo has no {name}")


def macos_pressure(level: Answer) -> str | Unknown:
    """The name of ``kern.memorystatus_vm_pressure_level``: normal, warning or critical."""
    if isinstance(level, Unknown):
        return level
    return _PRESSURE.get(level.strip()) or Unknown(f"level {level[:20]!r} has no known meaning")


def linux_pressure(text: Answer) -> float | Unknown:
    """The share of the last 10 s, 0 to 1, in which some task waited for memory.

    From /proc/pressure/memory (Linux, Documentation/accounting/psi).
    """
    if isinstance(text, Unknown):
        return text
    found = re.search(r"^some avg10=([\d.]+)", text, re.MULTILINE)
    return float(found[1]) / 100 if found else Unknown("/proc/pressure/memory does not say")


# Whether the machine paged to disk during a span.


SWAP_UNITS = {"swap_used_bytes": "bytes", "swap_grew_bytes": "bytes", "swapped_bytes": "bytes"}


class Swap:
    """Swap of the whole machine: what is in use, by how much it grew, what went in and out.

    ``swap_grew_bytes`` is negative where it shrank. ``swapped_bytes`` is only known on Linux: the
    counters of macOS include pages that come from files, such as weights.
    """

    name = "swap"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._used: int | Unknown = Unknown("begin was not called")
        self._moved: int | Unknown = self._used

    def begin(self, target: Target) -> None:  # noqa: ARG002 - the whole machine's
        """Remember what is in swap."""
        self._used, self._moved = swap_used(self._reader), self._pages()

    def end(self, target: Target) -> dict[str, Reading]:  # noqa: ARG002 - the whole machine's
        """Compare."""
        used = swap_used(self._reader)
        if isinstance(used, Unknown):
            return unmeasured(SWAP_UNITS, used.reason)
        return {
            "swap_used_bytes": Reading(used, "bytes"),
            "swap_grew_bytes": _difference(self._used, used),
            "swapped_bytes": _difference(self._moved, self._pages()),
        }

    def _pages(self) -> int | Unknown:
        if self._reader.macos:
            return Unknown("macOS counts pages of files among those swapped in")
        return swapped(self._reader.read("/proc/vmstat"), os.sysconf("SC_PAGE_SIZE"))


def swapped(vmstat: Answer, page_bytes: int) -> int | Unknown:
    """Bytes that went to swap and came back since the machine started, from /proc/vmstat."""
    if isinstance(vmstat, Unknown):
        return vmstat
    pages = re.findall(r"^pswp(?:in|out) (\d+)$", vmstat, re.MULTILINE)
    if len(pages) != 2:
        return Unknown("/proc/vmstat does not count swapped pages")
    return sum(map(int, pages)) * page_bytes


def _difference(before: int | Unknown, after: int | Unknown) -> Reading:
    for each in (before, after):
        if isinstance(each, Unknown):
            return Reading(None, "bytes", each.reason)
    assert isinstance(before, int)
    assert isinstance(after, int)
    return Reading(after - before, "bytes")
