"""Processor time of a worker's tree and of everything else, by kind of core where there are two."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.machine import apple, macos
from mac_whisper_speedtest.machine.contention import FREE_SHARE
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Reader, Unknown, UnknownFactError, attempt, require

# The processes of a worker: itself and its descendants.


def members(pid: int) -> list[psutil.Process]:
    """The living processes of the tree below ``pid``, itself first.

    Raises:
        psutil.Error, OSError: the process has ended or may not be read.
    """
    root = psutil.Process(pid)
    found = [root]
    for each in pids(pid)[1:]:
        try:
            found.append(psutil.Process(each))
        except psutil.Error:  # it has just ended
            continue
    return found


def pids(pid: int) -> list[int]:
    """The process ids of the tree below ``pid``, itself first.

    On Linux the kernel's list of children is read (proc(5), ``/proc/PID/task/TID/children``): 0.1
    ms per thread, against 9 ms for reading every process of a small machine. The list may miss a
    child while another ends; a worker that waits for a call does neither. macOS lists
    children, too; where that list does not have this very process, every process is read.

    Raises:
        psutil.Error, OSError: the process has ended or may not be read.
    """
    if os.path.exists(f"/proc/{pid}/task/{pid}/children"):  # noqa: PTH110 - faster, for polling
        return _below(pid)
    root = psutil.Process(pid)
    if macos.HERE and pid in macos.child_pids(root.ppid()):
        found = [pid]
        for each in found:  # grows during the loop
            found += macos.child_pids(each)
        return found
    return [pid, *(each.pid for each in root.children(recursive=True))]


def _below(pid: int) -> list[int]:
    found = [pid]
    for each in found:  # grows during the loop
        try:
            threads = os.listdir(f"/proc/{each}/task")  # noqa: PTH208 - as above
        except OSError:  # that process has just ended
            continue
        for thread in threads:
            found += _children(f"/proc/{each}/task/{thread}/children")
    return found


def _children(path: str) -> list[int]:
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - as above
            return list(map(int, stream.read().split()))
    except OSError:  # that thread has just ended
        return []


READINGS = {
    "wall_s": Doc("time between the two looks", "s"),
    "cpu_s": Doc("processor time of the worker's tree; `tree_cpu_s` of a sample", "s"),
    "cores_used": Doc("`cpu_s` ÷ `wall_s`", "cores"),
    "outside_cpu_s": Doc("busy time of the machine less that of the tree and this tool", "s"),
    "outside_share": Doc("`outside_cpu_s` ÷ `wall_s`", "cores"),
    "disturbing_s": Doc("`outside_cpu_s` less what is tolerated on efficiency cores", "s"),
    "efficiency_cpu_s": Doc("what of `cpu_s` was on a Mac's efficiency cores", "s"),
    "cpu_resolution_s": Doc("by how much `outside_cpu_s` may be wrong: ticks", "s"),
}

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""The busy times among psutil's machine-wide times. ``user`` includes ``guest``, and ``iowait`` is
idle time (Linux, Documentation/filesystems/proc, "1.7 Miscellaneous kernel statistics"). ``steal``
is the time the hypervisor gave to other guests. macOS has only the first three."""

_NO_KIND = "no efficiency cores are known here, or not how long the worker was on them"

_WORST_SHARE = 0.5
"""Cores. If the error of a share exceeds this, because the span is short, no share is given."""


@dataclass(frozen=True, slots=True)
class TreeTimes:
    """Processor seconds of a worker's tree until one moment.

    Attributes:
        living: of each process, by its id.
        ended: of children that have ended and been waited for.
        slow: of all living processes, on efficiency cores; ``None`` where macOS does not say, and 0
            elsewhere.
    """

    living: Mapping[int, float]
    ended: float = 0.0
    slow: float | None = 0.0

    @property
    def total(self) -> float:
        """Of all of them."""
        return sum(self.living.values()) + self.ended


@dataclass(frozen=True, slots=True)
class CpuCounters:
    """Counters at one moment, all in seconds.

    Attributes:
        machine_s: busy time of all cores since the machine started.
        slow_s: on efficiency cores only.
        tree: processor time of the worker's tree.
        tool_s: processor time of this process.
        reading_s: how long the machine's counters took to read, which on a busy machine includes a
            wait for a core. This time is not part of the span that ``wall_s`` begins or ends.
    """

    wall_s: float
    machine_s: float
    tree: TreeTimes
    tool_s: float
    slow_s: float = 0.0
    reading_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """Use of the processor during a span, in seconds.

    Attributes:
        cpu_s: processor time of the worker's tree.
        outside_cpu_s: processor time of everything but the tree and this tool; never below 0.
        spared_s: the part of it that is tolerated on efficiency cores, on which no thread of the
            worker is counted on: up to half of them.
        resolution_s: the error bound of ``outside_cpu_s``.
        slow_s: the part of ``cpu_s`` on efficiency cores; ``None`` if unknown.
    """

    wall_s: float
    cpu_s: float
    outside_cpu_s: float
    resolution_s: float
    spared_s: float = 0.0
    slow_s: float | None = None


def resolution_s(cores: int, tick_s: float) -> float:
    """The error bound of the machine's busy time.

    The system counts in ticks (10 ms on Linux and macOS). At both ends of a span each core's last
    tick is incomplete; these errors are independent, and the sum is rounded to a tick.
    """
    return tick_s * (1 + math.sqrt(cores))


def usage(
    before: CpuCounters, after: CpuCounters, resolution: float, cores: int, slow_cores: int = 0
) -> CpuUsage:
    """The processor time used between two readings of the counters.

    ``outside = machine - tree - tool``: all other busy time, of daemons, other users and the
    hypervisor's other guests.

    Args:
        before: at the begin of the span.
        after: at its end.
        resolution: see `resolution_s`.
        cores: of the machine, logical.
        slow_cores: the efficiency cores among them.

    Raises:
        UnknownFactError: a process of the tree ended and its time was not counted, or the
            counters contradict each other.
    """
    gone = sum(s for pid, s in before.tree.living.items() if pid not in after.tree.living)
    if gone > after.tree.ended - before.tree.ended + resolution:
        raise UnknownFactError(
            "a process of the worker ended meanwhile, and the system does not count its time"
        )
    wall_s = after.wall_s - before.wall_s
    tree_s = after.tree.total - before.tree.total
    outside = after.machine_s - before.machine_s - tree_s - (after.tool_s - before.tool_s)
    if outside > cores * (wall_s + before.reading_s + after.reading_s) + resolution:
        raise UnknownFactError(
            f"the counters contradict each other: {outside:.2f} s of other work in {wall_s:.2f} s "
            f"on {cores} cores"
        )
    outside, slow_s, spared_s = min(max(0.0, outside), cores * wall_s), None, 0.0
    if slow_cores and before.tree.slow is not None and after.tree.slow is not None:
        slow_s = max(0.0, after.tree.slow - before.tree.slow)
        # Where the tree itself was moved to these cores, others had the fast ones meanwhile.
        others_s = after.slow_s - before.slow_s - slow_s
        spared_s = max(0.0, min(others_s, outside, FREE_SHARE * slow_cores * wall_s))
    return CpuUsage(wall_s, tree_s, outside, resolution, spared_s, slow_s)


def readings(used: CpuUsage) -> dict[str, Reading]:
    """The figures of a span, by name."""
    quality = f"±{used.resolution_s:.3f} s"
    if used.wall_s <= 0:
        return unmeasured(READINGS, "no time passed")
    share = used.outside_cpu_s / used.wall_s
    open_share = used.resolution_s / used.wall_s
    too_short = f"{used.wall_s:.3f} s are too short for counters with an error of {quality[1:]}"
    return {
        "wall_s": Reading(used.wall_s, "s"),
        "cpu_s": Reading(used.cpu_s, "s"),
        "cores_used": Reading(used.cpu_s / used.wall_s, "cores"),
        "outside_cpu_s": Reading(used.outside_cpu_s, "s", quality=quality),
        "outside_share": Reading(share, "cores", quality=f"±{open_share:.2f} cores")
        if open_share <= _WORST_SHARE
        else Reading(None, "cores", too_short),
        "disturbing_s": Reading(used.outside_cpu_s - used.spared_s, "s", quality=quality),
        "efficiency_cpu_s": Reading(used.slow_s, "s", _NO_KIND if used.slow_s is None else ""),
        "cpu_resolution_s": Reading(used.resolution_s, "s"),
    }


class Cpu:
    """Processor time over a span.

    Its figures are in `READINGS`. ``outside_share`` is the mean number of cores busy with other
    work. ``disturbing_s`` is the part of ``outside_cpu_s`` by which a sample
    is judged: on Macs with efficiency cores, without half of these.

    Limits: in a container the counters may be the whole machine's or only its own. Work that system
    processes do for the worker (kernel threads, Core ML's compiler and the Neural Engine's daemon)
    counts as outside.
    """

    name = "cpu"

    def __init__(self, slow: frozenset[int] | None = None) -> None:
        """Take the logical CPUs ``slow`` for efficiency cores; by default this machine's."""
        self._before: CpuCounters | Unknown = Unknown("begin was not called")
        self._cores = psutil.cpu_count() or 1
        self._resolution = resolution_s(self._cores, 1 / os.sysconf("SC_CLK_TCK"))
        self._slow = _efficiency_cpus(self._cores) if slow is None else slow

    def begin(self, target: Target) -> None:
        """Read before the span, the machine last, to be close to the span."""
        self._before = attempt(lambda: self._counters_before(target.worker))

    def end(self, target: Target) -> dict[str, Reading]:
        """Read after the span, the machine first."""
        used = attempt(
            lambda: usage(
                require(self._before),
                self._counters_after(target.worker),
                self._resolution,
                self._cores,
                len(self._slow),
            )
        )
        return unmeasured(READINGS, used.reason) if isinstance(used, Unknown) else readings(used)

    def _counters_before(self, pid: int) -> CpuCounters:
        tree = tree_times(pid)
        tool_s = time.process_time()
        began = time.perf_counter()
        machine_s, slow_s = machine_busy_s(self._slow)
        wall_s = time.perf_counter()
        return CpuCounters(wall_s, machine_s, tree, tool_s, slow_s, wall_s - began)

    def _counters_after(self, pid: int) -> CpuCounters:
        wall_s = time.perf_counter()
        machine_s, slow_s = machine_busy_s(self._slow)
        reading_s = time.perf_counter() - wall_s
        tool_s = time.process_time()
        return CpuCounters(wall_s, machine_s, tree_times(pid), tool_s, slow_s, reading_s)


@functools.cache
def _efficiency_cpus(cores: int) -> frozenset[int]:
    """The efficiency cores of a Mac; none if unknown, or on other systems.

    Then no work of others is spared: an idle Mac may be taken for a disturbed one, and never the
    other way round.
    """
    if not macos.HERE:
        return frozenset()
    reader = Reader()
    kinds = apple.core_kinds(reader)
    found = kinds if isinstance(kinds, Unknown) else apple.efficiency_cpus(reader, kinds)
    if isinstance(found, Unknown) or not found <= frozenset(range(cores)):
        return frozenset()
    return found


def machine_busy_s(slow: frozenset[int] = frozenset()) -> tuple[float, float]:
    """Seconds that all cores together, and these CPUs, were busy since the machine started."""
    if not slow:
        return _busy_s(psutil.cpu_times()), 0.0
    each = [_busy_s(times) for times in psutil.cpu_times(percpu=True)]
    return sum(each), sum(each[number] for number in slow)


def _busy_s(times: Any) -> float:
    return float(sum(getattr(times, name, 0.0) for name in _BUSY))


def tree_cpu_s(pid: int) -> float:
    """Processor seconds of the tree below ``pid`` so far; raises as `tree_times` does."""
    return tree_times(pid).total


def tree_times(pid: int) -> TreeTimes:
    """The processor time of the tree below ``pid`` so far.

    Raises:
        psutil.Error, OSError: the process has ended or may not be read.
    """
    living: dict[int, float] = {}
    ended = 0.0
    slow: float | None = 0.0
    for process in members(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:
            if process.pid == pid:
                raise
            continue  # it has just ended; its time now counts as its parent's children's
        living[process.pid] = _own_s(process.pid, times.user + times.system)
        ended += times.children_user + times.children_system
        if macos.HERE:
            kernels = attempt(functools.partial(_kernels_times, process.pid))
            gone, on_slow = (0.0, None) if isinstance(kernels, Unknown) else kernels
            ended += gone
            slow = None if slow is None or on_slow is None else slow + on_slow
    return TreeTimes(living, ended, slow)


def _kernels_times(pid: int) -> tuple[float, float | None]:
    """Seconds on macOS, where psutil gives neither: of ended children, and on efficiency cores."""
    found, tick_s = macos.process_rusage(pid), macos.tick_s()
    slow = None if found.slow_ticks is None else found.slow_ticks * tick_s
    return found.ended_ticks * tick_s, slow


def _own_s(pid: int, in_ticks: float) -> float:
    """A process's own seconds: exact on Linux, else ``in_ticks``.

    The clock of another process has the id ``~pid << 3 | 2``, as clock_getcpuclockid(3) makes it
    (Linux, include/linux/posix-timers_types.h, ``CPUCLOCK_SCHED``).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # another system, or a process that has just ended
        return in_ticks
