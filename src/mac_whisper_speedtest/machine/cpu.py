"""Processor time: what the worker's tree used, and what everything outside it took meanwhile."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from mac_whisper_speedtest.machine.probe import Reading, Target, unmeasured
from mac_whisper_speedtest.machine.reader import Unknown, attempt

# Whether other programs' work has disturbed a sample.


BASE_SHARE = 0.05
"""Of all logical cores. What daemons of an idle system take stays below it, and a backend with a
thread on every core loses about as much to whoever takes it."""

BASE_CORES = 0.5
"""No machine is so large that more than this is its idle daemons' doing: one program that computes
takes a whole core."""

FREE_SHARE = 0.5
"""Of the cores that the backend has no thread on. Work that fits there still takes memory bandwidth
and clocks, and is not always put there."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Work outside the worker during a span, or several.

    Attributes:
        cpu_s: processor seconds of everything but the worker's tree and this tool.
        wall_s: the span.
        resolution_s: by how much ``cpu_s`` may be wrong.
    """

    cpu_s: float
    wall_s: float
    resolution_s: float

    @property
    def cores(self) -> float:
        """How many cores it kept busy, on average."""
        return self.cpu_s / self.wall_s


@dataclass(frozen=True, slots=True)
class Judgment:
    """Whether a sample was disturbed.

    Attributes:
        disturbed: ``None`` where the counters cannot tell.
        limit_cores: how many cores' worth of other work would have been tolerated.
        words: what was seen, for people.
    """

    disturbed: bool | None
    limit_cores: float
    words: str


def of_readings(readings: dict[str, Reading]) -> Outside | str:
    """The outside work from the figures of :class:`~..probes.cpu.Cpu`, or why it is not known."""
    names = ("outside_cpu_s", "wall_s", "cpu_resolution_s")
    values = []
    for name in names:
        found = readings.get(name, Reading(None, "s", f"{name} was not metered"))
        if found.value is None:
            return found.reason
        values.append(found.value)
    return Outside(*values)


def together(spans: Iterable[Outside]) -> Outside | None:
    """Several spans as one, for samples too short to be judged alone; ``None`` if there are none.

    The spans' errors are added, which is what they are at the worst.
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
    """How many cores others may use before a sample counts as disturbed.

    ``min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)``

    Args:
        cores: those that the worker's threads would run on: the performance cores where there are
            two kinds, else all logical ones.
        threads: how many the worker computes with.
    """
    return min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)


def judge_contention(outside: Outside, *, cores: int, threads: int) -> Judgment:
    """Whether so much other work is too much.

    Where the counters' error is more than half of the limit, the answer has to hold at both ends of
    it; a span too short for that is neither disturbed nor undisturbed.
    """
    allowed = limit(cores=cores, threads=threads)
    if outside.wall_s <= 0:
        return Judgment(None, allowed, "no time passed")
    error = outside.resolution_s / outside.wall_s
    words = f"others used {outside.cores:.2f} cores (at most {allowed:.2f} go unflagged)"
    if error > allowed / 2:
        if outside.cores - error > allowed:
            return Judgment(disturbed=True, limit_cores=allowed, words=words)
        if outside.cores + error <= allowed:
            return Judgment(disturbed=False, limit_cores=allowed, words=words)
        short = f"{outside.wall_s:.2f} s are too short to tell: {words}, ±{error:.2f}"
        return Judgment(None, allowed, short)
    return Judgment(outside.cores > allowed, allowed, words)


# The processes of a worker: itself and all that it started.


def members(pid: int) -> list[psutil.Process]:
    """The living processes of the tree below ``pid``, itself first.

    Raises:
        psutil.Error, OSError: the process is gone or may not be looked at.
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

    On Linux the kernel's own list of children is read (proc(5), ``/proc/PID/task/TID/children``):
    0.1 ms for a thread in place of the 9 ms that it takes to look at every process of a small
    machine. That list may leave one out while another ends; a worker that waits for a call starts
    and ends none.

    Raises:
        psutil.Error, OSError: the process is gone or may not be looked at.
    """
    if os.path.exists(f"/proc/{pid}/task/{pid}/children"):  # noqa: PTH110 - polled, so cheaply
        return _below(pid)
    root = psutil.Process(pid)
    return [pid, *(each.pid for each in root.children(recursive=True))]


def _below(pid: int) -> list[int]:
    found = [pid]
    for each in found:  # grows while it is gone through
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
"""What of psutil's machine-wide times is work. ``guest`` is in ``user`` already, and ``iowait`` is
idle time (Linux, Documentation/filesystems/proc, "1.7 Miscellaneous kernel statistics"). ``steal``
is what the hypervisor gave to others. macOS has the first three without ``irq``."""

_WORST_SHARE = 0.5
"""Cores. Over a span so short that the ticks leave more than this open, no share is given."""


@dataclass(frozen=True, slots=True)
class Look:
    """Counters at one moment, all in seconds.

    Attributes:
        wall_s: a clock.
        machine_s: busy time of all cores since the machine started.
        tree_s: processor time of the worker's tree, with that of its children that have ended.
        tool_s: processor time of this process.
    """

    wall_s: float
    machine_s: float
    tree_s: float
    tool_s: float


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """What happened between two looks, in seconds of processor time unless said otherwise.

    Attributes:
        wall_s: seconds that passed.
        cpu_s: of the worker's tree.
        outside_cpu_s: of everything but the tree and this tool; never below 0.
        resolution_s: by how much ``outside_cpu_s`` may be wrong.
    """

    wall_s: float
    cpu_s: float
    outside_cpu_s: float
    resolution_s: float


def resolution_s(cores: int, tick_s: float) -> float:
    """How exactly the machine's busy time is known.

    The system counts in ticks (10 ms on Linux and macOS). At both ends of a span each core's last
    tick is open, errors that add up like independent ones, and the sum is rounded to a tick.
    """
    return tick_s * (1 + math.sqrt(cores))


def usage(before: Look, after: Look, resolution: float) -> CpuUsage:
    """What was used between two looks.

    ``outside = machine - tree - tool``: busy time that is not the worker's and not ours is somebody
    else's, be it a daemon, another user or the hypervisor's other guests.
    """
    tree_s = after.tree_s - before.tree_s
    tool_s = after.tool_s - before.tool_s
    outside = after.machine_s - before.machine_s - tree_s - tool_s
    return CpuUsage(after.wall_s - before.wall_s, tree_s, max(0.0, outside), resolution)


def readings(used: CpuUsage) -> dict[str, Reading]:
    """The figures of a span, by name."""
    quality = f"±{used.resolution_s:.3f} s"
    if used.wall_s <= 0:
        return unmeasured(UNITS, "no time passed")
    share = used.outside_cpu_s / used.wall_s
    open_share = used.resolution_s / used.wall_s
    too_short = f"{used.wall_s:.3f} s are too short for counters that are exact to {quality[1:]}"
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

    Its figures are in `UNITS`. ``outside_share`` is ``outside_cpu_s / wall_s``: how many cores were
    busy with something else on average. Spans too short for it can still be added up
    (:func:`~mac_whisper_speedtest.machine.cpu.together`).

    Limits: a container may be shown the whole machine's counters or only its own. Work that the
    system does for the worker in its own processes (kernel threads, Core ML's compiler and the
    Neural Engine's daemon) counts as outside.
    """

    name = "cpu"

    def __init__(self) -> None:
        self._before: Look | Unknown = Unknown("begin was not called")
        self._resolution = resolution_s(psutil.cpu_count() or 1, 1 / os.sysconf("SC_CLK_TCK"))

    def begin(self, target: Target) -> None:
        """Look before the span; the machine last, as near to the span as can be."""
        if target.pid is None:
            self._before = Unknown("there is no worker to meter")
            return
        pid = target.pid
        self._before = attempt(lambda: _look_before(pid))

    def end(self, target: Target) -> dict[str, Reading]:
        """Look after the span; the machine first."""
        before, pid = self._before, target.pid
        if isinstance(before, Unknown) or pid is None:
            reason = before.reason if isinstance(before, Unknown) else "there is no worker to meter"
            return unmeasured(UNITS, reason)
        after = attempt(lambda: _look_after(pid))
        if isinstance(after, Unknown):
            return unmeasured(UNITS, after.reason)
        return readings(usage(before, after, self._resolution))


def _look_before(pid: int) -> Look:
    tree_s = tree_cpu_s(pid)
    tool_s = time.process_time()
    return Look(
        machine_s=machine_busy_s(), wall_s=time.perf_counter(), tree_s=tree_s, tool_s=tool_s
    )


def _look_after(pid: int) -> Look:
    wall_s = time.perf_counter()
    machine_s = machine_busy_s()
    tool_s = time.process_time()
    return Look(machine_s=machine_s, wall_s=wall_s, tree_s=tree_cpu_s(pid), tool_s=tool_s)


def machine_busy_s() -> float:
    """Seconds that all cores together have been busy since the machine started."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in _BUSY))


def tree_cpu_s(pid: int) -> float:
    """Processor seconds of the tree below ``pid``, with those of its children that have ended.

    On macOS the system does not tell of children that have ended.

    Raises:
        psutil.Error, OSError: the process is gone or may not be looked at.
    """
    total = 0.0
    for process in members(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:
            if process.pid == pid:
                raise
            continue  # it has just ended; its time is now among its parent's children's
        total += _own_s(process.pid, times.user + times.system)
        total += times.children_user + times.children_system
    return total


def _own_s(pid: int, in_ticks: float) -> float:
    """A process's own seconds: exactly on Linux, else as they are.

    The clock of another process has the id ``~pid << 3 | 2``, as clock_getcpuclockid(3) makes it
    (Linux, include/linux/posix-timers_types.h, ``CPUCLOCK_SCHED``).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # another system, or a process that has just ended
        return in_ticks
