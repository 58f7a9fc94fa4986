"""Killing a worker with everything it started, its use of CPU and I/O, and its leftovers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
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
from mac_whisper_speedtest.machine import cpu

MARK = "SPEEDTEST_WORKER"
"""Environment variable that every process below a worker inherits, also one that left its group."""


def kill(pid: int, mark: str) -> None:
    """Kill a worker, its process group, its descendants and everything else carrying ``mark``.

    The worker leads a process group of its own. A grandchild that has left the group or lost its
    parent is found by the mark in its environment.
    """
    doomed: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        doomed = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in [*doomed, *marked_processes(mark)]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def marked_processes(mark: str) -> list[psutil.Process]:
    """Every running process of this user whose environment carries ``mark``."""
    found = []
    for process in psutil.process_iter():
        # Suppressed: another user's process, a system process, or one that is just ending.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def kill_orphans() -> int:
    """Kill workers whose tool is gone (it was killed with SIGKILL); return how many.

    A mark is ``<tool's pid>:<tool's start time>:<random>``, so that a reused pid is not mistaken
    for a running tool.
    """
    killed = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            mark = process.environ().get(MARK)
            if not mark or process.pid == os.getpid():
                continue
            pid, started, _ = mark.split(":", 2)
            if not owner_alive(int(pid), float(started)):
                process.kill()
                killed += 1
    return killed


def owner_alive(pid: int, started: float) -> bool:
    """Whether the process that had ``pid`` when it started at ``started`` (epoch s) still runs."""
    try:
        return bool(abs(psutil.Process(pid).create_time() - started) < 1.0)
    except psutil.Error:
        return False


# CPU and I/O of a worker's processes: they distinguish slow from stuck.

SAMPLE_INTERVAL_S = 0.25
WINDOW_S = 5.0
"""Progress is measured over this time before the deadline, in seconds."""
BUSY_SHARE = 0.05
"""Working: more than this fraction of one core. A waiting process uses far less."""
BUSY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """Of a process and all its descendants: processor seconds, and bytes read and written.

    ``io_bytes`` is ``None`` where the system does not report it (macOS).
    """

    cpu_s: float
    io_bytes: int | None


def tree_usage(pid: int) -> TreeUsage:
    """The usage of the processes below ``pid`` and of itself, together.

    Raises:
        psutil.Error, OSError: a process is just ending, or access is denied.
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
    """Whether something was computed, read or written between the first sample and the last.

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
    """Samples the usage of a process and its descendants periodically, in a thread of its own.

    Use as a context manager; the samples remain when the process is gone.
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


# Temporary folders. A later run of the tool removes those that a killed one left behind.

_PREFIX = "speedtest-work-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files; its name identifies the owning process."""
    own = psutil.Process()
    prefix = f"{_PREFIX}{own.pid}-{own.create_time():.0f}-"
    made = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield made
    finally:
        with interrupts.held_back(then_drop=True):
            shutil.rmtree(made, ignore_errors=True)


def remove_leftover_folders() -> None:
    """Remove the folders of tools that were killed."""
    for leftover in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*-*"):
        with contextlib.suppress(ValueError, OSError):
            pid, started = leftover.name.removeprefix(_PREFIX).split("-")[:2]
            if not owner_alive(int(pid), float(started)):
                shutil.rmtree(leftover, ignore_errors=True)
