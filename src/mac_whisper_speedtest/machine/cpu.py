"""Processor time of a worker's tree and of everything else, and whether a sample was disturbed."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from mac_whisper_speedtest.machine import macos
from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Unknown, UnknownFactError, attempt, require

BASE_SHARE = 0.05
"""Of all logical cores. Daemons of an idle system stay below it, and a backend with a thread on
every core loses about as much."""

BASE_CORES = 0.5
"""On no machine do idle daemons use more than this; one program that computes uses a whole core."""

FREE_SHARE = 0.5
"""Of the cores on which the backend has no thread. Work that fits there still uses memory bandwidth
and lowers clocks, and is not always scheduled there."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Work outside the worker during a span, or several.

    Attributes:
        cpu_s: processor seconds of everything but the worker's tree and this tool.
        resolution_s: the error bound of ``cpu_s``.
    """

    cpu_s: float
    wall_s: float
    resolution_s: float

    @property
    def cores(self) -> float:
        """The mean number of cores in use."""
        return self.cpu_s / self.wall_s


@dataclass(frozen=True, slots=True)
class Judgment:
    """Whether a sample was disturbed.

    Attributes:
        disturbed: ``None`` where the counters are too coarse.
        limit_cores: the tolerated amount of other work, in cores.
        words: what was measured, for people.
    """

    disturbed: bool | None
    limit_cores: float
    words: str


def outside_work(readings: Mapping[str, Reading]) -> Outside | str:
    """The outside work from the figures of `Cpu`, or why it is not known."""
    names = ("outside_cpu_s", "wall_s", "cpu_resolution_s")
    values = []
    for name in names:
        found = readings.get(name, Reading(None, "s", f"{name} was not metered"))
        if found.value is None:
            return found.reason
        values.append(found.value)
    return Outside(*values)


def combine(spans: Iterable[Outside]) -> Outside | None:
    """Several spans as one, for samples too short to be judged alone; ``None`` if there are none.

    The errors are added: the worst case.
    """
    spans = list(spans)
    if not spans:
        return None
    return Outside(
        sum(each.cpu_s for each in spans),
        sum(each.wall_s for each in spans),
        sum(each.resolution_s for each in spans),
    )


def limit(*, cores: int, threads: int) -> float:
    """The cores that other programs may use before a sample counts as disturbed.

    ``min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)``

    Args:
        cores: the performance cores where there are two kinds, else all logical cores.
        threads: of the worker.
    """
    return min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)


def judge_contention(outside: Outside, *, cores: int, threads: int) -> Judgment:
    """Whether other work exceeded the `limit`.

    Where the counters' error is more than half of the limit, the answer must be the same at both
    ends of the error interval; otherwise the span is too short to judge.
    """
    allowed = limit(cores=cores, threads=threads)
    if outside.wall_s <= 0:
        return Judgment(None, allowed, "no time passed")
    error = outside.resolution_s / outside.wall_s
    words = f"others used {outside.cores:.2f} cores (limit {allowed:.2f})"
    if error > allowed / 2:
        if outside.cores - error > allowed:
            return Judgment(disturbed=True, limit_cores=allowed, words=words)
        if outside.cores + error <= allowed:
            return Judgment(disturbed=False, limit_cores=allowed, words=words)
        short = f"{outside.wall_s:.2f} s are too short to judge: {words}, ±{error:.2f}"
        return Judgment(None, allowed, short)
    return Judgment(outside.cores > allowed, allowed, words)


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
    child while another ends; a worker that waits for a call starts and ends none. macOS lists
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


UNITS = {
    "wall_s": "s",
    "cpu_s": "s",
    "cores_used": "cores",
    "outside_cpu_s": "s",
    "outside_share": "cores",
    "cpu_resolution_s": "s",
}

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""The busy times among psutil's machine-wide times. ``user`` includes ``guest``, and ``iowait`` is
idle time (Linux, Documentation/filesystems/proc, "1.7 Miscellaneous kernel statistics"). ``steal``
is the time the hypervisor gave to other guests. macOS has only the first three."""

_WORST_SHARE = 0.5
"""Cores. If the error of a share exceeds this, because the span is short, no share is given."""


@dataclass(frozen=True, slots=True)
class TreeTimes:
    """Processor seconds of a worker's tree until one moment.

    Attributes:
        living: of each process, by its id.
        ended: of children that have ended and been waited for.
    """

    living: Mapping[int, float]
    ended: float = 0.0

    @property
    def total(self) -> float:
        """Of all of them."""
        return sum(self.living.values()) + self.ended


@dataclass(frozen=True, slots=True)
class CpuCounters:
    """Counters at one moment, all in seconds.

    Attributes:
        machine_s: busy time of all cores since the machine started.
        tree: processor time of the worker's tree.
        tool_s: processor time of this process.
    """

    wall_s: float
    machine_s: float
    tree: TreeTimes
    tool_s: float


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """Use of the processor during a span, in seconds.

    Attributes:
        cpu_s: processor time of the worker's tree.
        outside_cpu_s: processor time of everything but the tree and this tool; never below 0.
        resolution_s: the error bound of ``outside_cpu_s``.
    """

    wall_s: float
    cpu_s: float
    outside_cpu_s: float
    resolution_s: float


def resolution_s(cores: int, tick_s: float) -> float:
    """The error bound of the machine's busy time.

    The system counts in ticks (10 ms on Linux and macOS). At both ends of a span each core's last
    tick is incomplete; these errors are independent, and the sum is rounded to a tick.
    """
    return tick_s * (1 + math.sqrt(cores))


def usage(before: CpuCounters, after: CpuCounters, resolution: float, cores: int) -> CpuUsage:
    """The processor time used between two readings of the counters.

    ``outside = machine - tree - tool``: all other busy time, of daemons, other users and the
    hypervisor's other guests.

    Args:
        before: at the begin of the span.
        after: at its end.
        resolution: see `resolution_s`.
        cores: of the machine, logical.

    Raises:
        UnknownFactError: a process of the tree ended and its time is counted nowhere, or the
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
    if outside > cores * wall_s + resolution:
        raise UnknownFactError(
            f"the counters contradict each other: {outside:.2f} s of other work in {wall_s:.2f} s "
            f"on {cores} cores"
        )
    return CpuUsage(wall_s, tree_s, max(0.0, outside), resolution)


def readings(used: CpuUsage) -> dict[str, Reading]:
    """The figures of a span, by name."""
    quality = f"±{used.resolution_s:.3f} s"
    if used.wall_s <= 0:
        return unmeasured(UNITS, "no time passed")
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
        "cpu_resolution_s": Reading(used.resolution_s, "s"),
    }


class Cpu:
    """Processor time over a span.

    Its figures are in `UNITS`. ``outside_share`` is ``outside_cpu_s / wall_s``: the mean number of
    cores busy with other work. Spans too short for it can still be added
    (:func:`~mac_whisper_speedtest.machine.cpu.combine`).

    Limits: in a container the counters may be the whole machine's or only its own. Work that system
    processes do for the worker (kernel threads, Core ML's compiler and the Neural Engine's daemon)
    counts as outside.
    """

    name = "cpu"

    def __init__(self) -> None:
        self._before: CpuCounters | Unknown = Unknown("begin was not called")
        self._cores = psutil.cpu_count() or 1
        self._resolution = resolution_s(self._cores, 1 / os.sysconf("SC_CLK_TCK"))

    def begin(self, target: Target) -> None:
        """Read before the span, the machine last, to be close to the span."""
        self._before = attempt(lambda: _counters_before(target.worker))

    def end(self, target: Target) -> dict[str, Reading]:
        """Read after the span, the machine first."""
        used = attempt(
            lambda: usage(
                require(self._before), _counters_after(target.worker), self._resolution, self._cores
            )
        )
        return unmeasured(UNITS, used.reason) if isinstance(used, Unknown) else readings(used)


def _counters_before(pid: int) -> CpuCounters:
    tree = tree_times(pid)
    tool_s = time.process_time()
    return CpuCounters(
        machine_s=machine_busy_s(), wall_s=time.perf_counter(), tree=tree, tool_s=tool_s
    )


def _counters_after(pid: int) -> CpuCounters:
    wall_s = time.perf_counter()
    machine_s = machine_busy_s()
    tool_s = time.process_time()
    return CpuCounters(machine_s=machine_s, wall_s=wall_s, tree=tree_times(pid), tool_s=tool_s)


def machine_busy_s() -> float:
    """Seconds that all cores together have been busy since the machine started."""
    times = psutil.cpu_times()
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
    for process in members(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:
            if process.pid == pid:
                raise
            continue  # it has just ended; its time now counts as its parent's children's
        living[process.pid] = _own_s(process.pid, times.user + times.system)
        ended += times.children_user + times.children_system
        if macos.HERE:  # psutil gives 0 there
            ended += _ended_s(process.pid)
    return TreeTimes(living, ended)


def _ended_s(pid: int) -> float:
    """Seconds of a process's children that have ended, on macOS; 0 where it does not say."""
    found = attempt(lambda: macos.process_rusage(pid).ended_ticks * macos.tick_s())
    return 0.0 if isinstance(found, Unknown) else found


def _own_s(pid: int, in_ticks: float) -> float:
    """A process's own seconds: exact on Linux, else ``in_ticks``.

    The clock of another process has the id ``~pid << 3 | 2``, as clock_getcpuclockid(3) makes it
    (Linux, include/linux/posix-timers_types.h, ``CPUCLOCK_SCHED``).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # another system, or a process that has just ended
        return in_ticks
