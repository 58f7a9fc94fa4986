"""Memory of a worker's tree on Linux and macOS, and swap and memory pressure of the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

import psutil

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import cgroup, cpu, macos
from mac_whisper_speedtest.machine.macos import Rusage, SwapCounts
from mac_whisper_speedtest.machine.probe import Quality, Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt, require

LINUX_READINGS = {
    "rss_bytes": Doc("resident memory of the worker and all that it started", "bytes"),
    "peak_rss_bytes": Doc("the worker's own highest since it started (`VmHWM`)", "bytes"),
    "tree_peak_rss_bytes": Doc("the sum of these of all its processes", "bytes"),
    "cgroup_peak_bytes": Doc("the highest of its control group, if it rose in between", "bytes"),
}


class LinuxMemory:
    """Resident memory of the tree now (``rss_bytes``), and its peaks.

    ``peak_rss_bytes`` is the worker's own ``VmHWM`` since it started (proc(5)).
    ``tree_peak_rss_bytes`` is the sum over all its processes: an upper bound, because their peaks
    may be at different times and they may share pages. ``cgroup_peak_bytes`` is the peak of the
    worker's whole control group, which includes this tool and cached files; it is given only if it
    rose during the span, because otherwise it belongs to earlier work.
    """

    name = "memory"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._group_before: int | Unknown = Unknown("begin was not called")

    def begin(self, target: Target) -> None:
        """Remember the control group's peak."""
        self._group_before = self._group_peak(target)

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the peaks."""
        found = attempt(lambda: self._tree(target.worker))
        figures = unmeasured(LINUX_READINGS, found.reason) if isinstance(found, Unknown) else found
        figures["cgroup_peak_bytes"] = risen_peak(self._group_before, self._group_peak(target))
        return figures

    def _tree(self, pid: int) -> dict[str, Reading]:
        texts = []
        for process in cpu.members(pid):
            text = self._reader.read(f"/proc/{process.pid}/status")
            if isinstance(text, str):
                texts.append(text)
            elif process.pid == pid:
                raise psutil.NoSuchProcess(pid)
        return status_figures(texts)

    def _group_peak(self, target: Target) -> int | Unknown:
        return attempt(lambda: require(cgroup.memory_peak(self._reader, target.worker)))


def status_figures(texts: list[str]) -> dict[str, Reading]:
    """Figures from the texts of /proc/PID/status, the worker's first."""
    rss = [_field(text, "VmRSS") for text in texts]
    peaks = [_field(text, "VmHWM") for text in texts]
    return {
        "rss_bytes": _sum(rss, "VmRSS"),
        "peak_rss_bytes": _sum(peaks[:1], "VmHWM"),
        "tree_peak_rss_bytes": _sum(peaks, "VmHWM", Quality.UPPER_BOUND if len(peaks) > 1 else ""),
    }


def risen_peak(before: int | Unknown, after: int | Unknown) -> Reading:
    """The peak of the control group, if it is from this span."""
    rise = _difference(before, after)
    if isinstance(after, Unknown) or rise.value is None:
        return rise
    if rise.value <= 0:
        return Reading(None, "bytes", "the control group's peak is from before this span")
    return Reading(after, "bytes", quality=Quality.CONTROL_GROUP)


def _field(text: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _sum(values: list[int | None], name: str, quality: str = "") -> Reading:
    known = [value for value in values if value is not None]
    if not known or values[0] is None:
        return Reading(None, "bytes", f"/proc has no {name} of the worker")
    return Reading(sum(known), "bytes", quality=quality)


# Footprints on macOS.


MACOS_READINGS = {
    "rss_bytes": LINUX_READINGS["rss_bytes"],
    "footprint_bytes": Doc(
        "physical footprint of the tree: with Metal's buffers and compressed pages", "bytes"
    ),
    "peak_footprint_bytes": Doc("the sum of the highest footprints of its processes", "bytes"),
    "neural_footprint_bytes": Doc("the Neural Engine's, which the footprint omits", "bytes"),
    "peak_neural_footprint_bytes": Doc("its highest", "bytes"),
}


class MacMemory:
    """Footprints of the tree's processes, and the peaks over their lives.

    Unlike resident memory, the footprint includes GPU buffers of the process and excludes weights
    that are mapped from a file. The Neural Engine's memory is accounted separately. The sum of the
    peaks of several processes is an upper bound, because they may be at different times.
    """

    name = "memory"

    def __init__(self, query: Callable[[int], Rusage] = macos.process_rusage) -> None:
        self._query = query

    def begin(self, target: Target) -> None:
        """Nothing: the system keeps the peaks."""

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the peaks."""
        found = attempt(lambda: rusage_figures(mac_tree(target.worker, self._query)))
        return unmeasured(MACOS_READINGS, found.reason) if isinstance(found, Unknown) else found


def mac_tree(pid: int, query: Callable[[int], Rusage] = macos.process_rusage) -> list[Rusage]:
    """The resource use of the processes of the tree below ``pid``, its own first.

    Raises:
        psutil.Error, OSError: the process has ended or may not be read.
    """
    found = []
    for each in cpu.pids(pid):
        try:
            found.append(query(each))
        except OSError:
            if each == pid:
                raise
    return found


def peak_footprint(pid: int) -> int | None:
    """The sum of the highest footprints of a worker's processes so far; ``None`` but on macOS."""
    if not macos.HERE:
        return None
    found = attempt(lambda: sum(each.footprint_peak for each in mac_tree(pid)))
    return None if isinstance(found, Unknown) else found


def rusage_figures(processes: Sequence[Rusage]) -> dict[str, Reading]:
    """The sums over a tree's processes (one at least), by name."""
    bound = Quality.UPPER_BOUND if len(processes) > 1 else ""
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
        return Reading(None, "bytes", "this release of macOS does not report it (macOS 13 does)")
    return Reading(sum(known), "bytes", quality=quality)


# Swap and memory pressure of the whole machine.


_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_PRESSURE = {"1": "normal", "2": "warning", "4": "critical"}


def swap_used(reader: Reader) -> int | Unknown:
    """Bytes in use."""
    if reader.macos:
        return macos_swap(reader.sysctl("vm.swapusage"))
    return linux_swap(reader.read("/proc/meminfo"))


def macos_swap(text: Answer) -> int | Unknown:
    """Bytes in use, of ``total = 2048.00M  used = 1012.25M  free = 1035.75M  (encrypted)``."""
    if isinstance(text, Unknown):
        return text
    found = re.search(r"used = ([\d.,]+)([KMGT])", text)
    if not found:
        return Unknown("vm.swapusage does not report what is used")
    # Some locales print a decimal comma.
    return int(float(found[1].replace(",", ".")) * _UNITS[found[2]])


def linux_swap(meminfo: Answer) -> int | Unknown:
    """Bytes in use, from /proc/meminfo."""
    total, free = meminfo_bytes(meminfo, "SwapTotal"), meminfo_bytes(meminfo, "SwapFree")
    return attempt(lambda: require(total) - require(free))


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
    """The share of the last 10 s, 0 to 1, in which a task waited for memory, or for a processor.

    From /proc/pressure/memory or /proc/pressure/cpu (Linux, Documentation/accounting/psi).
    """
    if isinstance(text, Unknown):
        return text
    found = re.search(r"^some avg10=([\d.]+)", text, re.MULTILINE)
    return float(found[1]) / 100 if found else Unknown("/proc/pressure has no avg10")


SWAP_READINGS = {
    "swap_used_bytes": Doc("in swap, of the whole machine", "bytes"),
    "swap_grew_bytes": Doc("by how much that grew; below 0 where it shrank", "bytes"),
    "swapped_bytes": Doc("what went to swap and came back in between", "bytes"),
}


class Swap:
    """Swap of the whole machine: bytes in use, their growth, and bytes swapped in and out.

    ``swap_grew_bytes`` is negative where swap shrank.
    """

    name = "swap"

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._used: int | Unknown = Unknown("begin was not called")
        self._moved: SwapCounts | Unknown = Unknown("begin was not called")

    def begin(self, target: Target) -> None:  # noqa: ARG002 - the whole machine's
        """Remember the swap in use."""
        self._used, self._moved = swap_used(self._reader), swap_counts(self._reader)

    def end(self, target: Target) -> dict[str, Reading]:  # noqa: ARG002 - the whole machine's
        """Read again, and return the differences."""
        used = swap_used(self._reader)
        if isinstance(used, Unknown):
            return unmeasured(SWAP_READINGS, used.reason)
        return {
            "swap_used_bytes": Reading(used, "bytes"),
            "swap_grew_bytes": _difference(self._used, used),
            "swapped_bytes": _difference(_moved(self._moved), _moved(swap_counts(self._reader))),
        }


def swap_counts(reader: Reader | None = None) -> SwapCounts | Unknown:
    """Bytes that came from swap and went there since the machine started."""
    reader = reader or Reader()
    if reader.macos:
        return attempt(macos.swap_counts)
    return linux_swap_counts(reader.read("/proc/vmstat"), os.sysconf("SC_PAGE_SIZE"))


def linux_swap_counts(vmstat: Answer, page_bytes: int) -> SwapCounts | Unknown:
    """The same from /proc/vmstat."""
    if isinstance(vmstat, Unknown):
        return vmstat
    pages = dict(re.findall(r"^(pswp(?:in|out)) (\d+)$", vmstat, re.MULTILINE))
    if len(pages) != 2:
        return Unknown("/proc/vmstat has no counts of swapped pages")
    return SwapCounts(int(pages["pswpin"]) * page_bytes, int(pages["pswpout"]) * page_bytes)


SWAPPED_OUT_BYTES = 1 << 20
"""What a system may swap out during a sample. Less is housekeeping: a drive writes it in about a
millisecond. Reads from swap are no sign: other programs read theirs when they wake up."""


def shortage(before: SwapCounts | Unknown, after: SwapCounts | Unknown) -> str:
    """How much was swapped out between two counts, in words; empty if little, or not known."""
    if isinstance(before, Unknown) or isinstance(after, Unknown):
        return ""
    left = after.out_bytes - before.out_bytes
    return f"memory was short: {megabytes(left)} were swapped out" * (left > SWAPPED_OUT_BYTES)


def _moved(counts: SwapCounts | Unknown) -> int | Unknown:
    return counts if isinstance(counts, Unknown) else counts.in_bytes + counts.out_bytes


def _difference(before: int | Unknown, after: int | Unknown) -> Reading:
    found = attempt(lambda: require(after) - require(before))
    if isinstance(found, Unknown):
        return Reading(None, "bytes", found.reason)
    return Reading(found, "bytes")
