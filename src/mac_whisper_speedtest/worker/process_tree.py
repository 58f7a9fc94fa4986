"""Kills a worker and everything it started, and measures their memory, CPU and I/O."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.machine import cpu, gpu, macos, nvml
from mac_whisper_speedtest.machine.reader import Unknown, attempt
from mac_whisper_speedtest.worker.ownership import marked_processes

_PR_SET_CHILD_SUBREAPER = 36
_SWEEPS = 100
"""A few sweeps kill a process that starts others as fast as it can. The limit is for a process that
cannot be killed, because it is in a system call that does not return."""
_SWEEP_PAUSE_S = 0.02


class _Adopter:
    """The children that this process had before it adopted orphans; ``None`` if it does not."""

    own: frozenset[int] | None = None


def adopt_orphans() -> None:
    """Let a worker's processes that lose their parent become this process's children (Linux).

    Call it before a worker starts. `kill` then also finds those that left the session and cleared
    their environment (prctl(2), PR_SET_CHILD_SUBREAPER). Only a process that runs this tool alone,
    with one worker at a time, adopts orphans. In another program, orphans of its own children look
    like a worker's, and must not be killed.
    """
    if sys.platform != "linux" or _Adopter.own is not None or not interrupts.owns_process():
        return
    children = frozenset(_children())
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
        _Adopter.own = children


def kill(pid: int, mark: str) -> None:
    """Kill a worker, its process group, its descendants and everything else carrying ``mark``.

    The worker leads its own process group. A descendant that has left the group or lost its
    parent is found by the mark in its environment or, after `adopt_orphans`, as this process's
    child. The search is repeated until it finds none, because processes can start others during it.
    """
    doomed = set(_trees(pid))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for _ in range(_SWEEPS):
        doomed |= {process.pid for process in marked_processes(mark)} | _adopted(pid)
        doomed |= set(_trees(*doomed))
        doomed.discard(pid)  # the caller waits for it
        doomed = {each for each in doomed if _kill(each)}
        if not doomed:
            return
        time.sleep(_SWEEP_PAUSE_S)


def _kill(pid: int) -> bool:
    """Kill a process; return whether it still exists. A child of this process is reaped."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        process.kill()
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return False


def _trees(*roots: int) -> Iterator[int]:
    for root in roots:
        with contextlib.suppress(psutil.Error, OSError):
            yield from cpu.pids(root)


def _children() -> set[int]:
    """The children of this process."""
    with contextlib.suppress(psutil.Error):
        return {each.pid for each in psutil.Process().children()}
    return set()


def _adopted(worker: int) -> set[int]:
    """Orphans of a worker that this process has adopted."""
    return set() if _Adopter.own is None else _children() - _Adopter.own - {worker}


# Memory of all processes of a worker.


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes of memory in use, and the kind of memory, in words."""

    size_bytes: int
    counted: str


def memory_use(pid: int, enough: int) -> MemoryUse:
    """The memory of a worker and everything that it started.

    macOS: the sum of footprints, because resident memory excludes Metal's buffers. Elsewhere: the
    sum of resident memory. If several processes exceed ``enough`` together, pages that they share
    count once, where the system reports them (Linux).
    """
    pids = set(_trees(pid, *_adopted(pid)))
    if macos.HERE:
        return MemoryUse(sum(map(_footprint, pids)), "memory (footprint, with Metal's)")
    total = sum(map(_resident, pids))
    if total > enough and len(pids) > 1:
        return MemoryUse(sum(map(_proportional, pids)), "memory (shared pages counted once)")
    return MemoryUse(total, "resident memory")


def _footprint(pid: int) -> int:
    found = attempt(lambda: macos.process_rusage(pid).footprint)
    return _resident(pid) if isinstance(found, Unknown) else found


def _resident(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _proportional(pid: int) -> int:
    """Resident bytes, with each shared page divided by the number of its users (proc(5), Pss)."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            return int(found[1]) * 1024
    return _resident(pid)


def gpu_memory_use(pid: int) -> MemoryUse | None:
    """Their memory on NVIDIA GPUs; ``None`` if they use none, or the driver hides it."""
    library = nvml.shared()
    if isinstance(library, Unknown) or not gpu.sees_host_pids():
        return None
    pids = set(_trees(pid, *_adopted(pid)))
    listed = attempt(lambda: library.each(library.processes, library.gpus))
    held = [
        used
        for processes in ({} if isinstance(listed, Unknown) else listed).values()
        for each, used in processes.items()
        if each in pids and used is not None
    ]
    return MemoryUse(sum(held), "GPU memory") if held else None


# CPU and I/O of a worker's processes, which distinguish slow from stuck.

SAMPLE_INTERVAL_S = 0.25
WINDOW_S = 5.0
"""Seconds before the deadline over which progress is measured."""
BUSY_SHARE = 0.05
"""Working: more than this fraction of one core. A waiting process uses far less."""
BUSY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """CPU seconds of a process and its descendants, and bytes that they read and wrote.

    ``io_bytes`` is ``None`` where the system does not report it (macOS).
    """

    cpu_s: float
    io_bytes: int | None


def tree_usage(pid: int) -> TreeUsage:
    """The summed usage of ``pid`` and its descendants.

    Raises:
        psutil.Error, OSError: a process is ending, or access is denied.
    """
    cpu_s, io_bytes = cpu.tree_cpu_s(pid), None
    if hasattr(psutil.Process, "io_counters"):
        io_bytes = 0
        for counters in (process.io_counters() for process in cpu.members(pid)):
            # Linux counts reads from its page cache separately; both are progress.
            io_bytes += counters.read_bytes + counters.write_bytes
            io_bytes += getattr(counters, "read_chars", 0)
    return TreeUsage(cpu_s, io_bytes)


def made_progress(samples: list[tuple[float, TreeUsage]]) -> bool:
    """Whether the processes computed, read or wrote between the first sample and the last.

    Args:
        samples: (seconds, usage) in order of time.
    """
    if len(samples) < 2:
        return False
    (began, before), (ended, after) = samples[0], samples[-1]
    if after.cpu_s - before.cpu_s > BUSY_SHARE * (ended - began):
        return True
    if before.io_bytes is None or after.io_bytes is None:
        return False
    return after.io_bytes - before.io_bytes > BUSY_BYTES


class ProgressMonitor:
    """Samples the usage of a process and its descendants periodically, in a separate thread.

    Use as a context manager; the samples remain after the process has ended.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: deque[tuple[float, TreeUsage]] = deque(
            maxlen=int(WINDOW_S / SAMPLE_INTERVAL_S) + 1
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample_usage, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def was_working(self, within_s: float = WINDOW_S) -> bool:
        """Whether it was working in its last ``within_s`` seconds, at most `WINDOW_S`."""
        samples = list(self._samples)
        return made_progress([each for each in samples if samples[-1][0] - each[0] <= within_s])

    def _sample_usage(self) -> None:
        while not self._over.wait(SAMPLE_INTERVAL_S):
            with contextlib.suppress(psutil.Error, OSError):
                self._samples.append((time.monotonic(), tree_usage(self._pid)))
