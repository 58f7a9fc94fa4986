"""Ending a worker with everything it started, and finding what an earlier tool left behind."""

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

MARK = "SPEEDTEST_WORKER"
"""Environment variable that every process below a worker inherits, also one that left its group."""


def kill(pid: int, mark: str) -> None:
    """Kill a worker, its process group, its descendants and everything else carrying ``mark``.

    The worker leads a process group of its own. A grandchild may have left it, or may have lost its
    parent; the mark in its environment still gives it away.
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
        # Another user's process, one that is just ending, or a system one: not ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def sweep_orphans() -> int:
    """Kill workers whose tool is gone (it was killed with SIGKILL); say how many there were.

    A mark is ``<tool's pid>:<tool's start time>:<random>``, so that a reused pid is not mistaken
    for a living tool.
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


# What a worker's processes have used so far: the difference between slow and stuck.


LOOK_EVERY_S = 0.25
WINDOW_S = 5.0
"""Progress is judged over this long before the deadline."""
BUSY_SHARE = 0.05
"""Working: more than this share of one core. A process that waits for an answer uses far less."""
BUSY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """Of a process and all its descendants: processor seconds, and bytes read and written.

    ``io_bytes`` is ``None`` where the system does not tell (macOS).
    """

    cpu_s: float
    io_bytes: int | None


def usage_of(processes: list[psutil.Process]) -> TreeUsage:
    """What they have used together.

    Raises:
        psutil.Error, OSError: one is just ending, or the system does not let us look.
    """
    cpu_s, io_bytes = 0.0, 0
    counts_io = hasattr(psutil.Process, "io_counters")
    for process in processes:
        times = process.cpu_times()
        cpu_s += times.user + times.system
        if counts_io:
            counters = process.io_counters()
            # Linux counts what came from its cache apart; both are progress.
            io_bytes += counters.read_bytes + counters.write_bytes
            io_bytes += getattr(counters, "read_chars", 0)
    return TreeUsage(cpu_s, io_bytes if counts_io else None)


def descendants_cpu_s() -> float | None:
    """Processor seconds used so far by every living descendant of this process together."""
    try:
        return usage_of(psutil.Process().children(recursive=True)).cpu_s
    except (psutil.Error, OSError):
        return None


def made_progress(looks: list[tuple[float, TreeUsage]]) -> bool:
    """Whether something was computed, read or written between the first look and the last.

    Args:
        looks: (seconds, usage) in order of time.
    """
    if len(looks) < 2:
        return False
    (began, before), (ended, after) = looks[0], looks[-1]
    if after.cpu_s - before.cpu_s > BUSY_SHARE * (ended - began):
        return True
    if before.io_bytes is None or after.io_bytes is None:
        return False
    return after.io_bytes - before.io_bytes > BUSY_BYTES


class Watch:
    """Looks at a process and its descendants every so often, in a thread of its own.

    Use as a context manager; the looks that were taken stay when the process is gone.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._looks: deque[tuple[float, TreeUsage]] = deque(maxlen=int(WINDOW_S / LOOK_EVERY_S) + 1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

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
        """Whether it was working in the last seconds, no more than `WINDOW_S`, of its life."""
        looks = list(self._looks)
        return made_progress([look for look in looks if looks[-1][0] - look[0] <= within_s])

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            with contextlib.suppress(psutil.Error, OSError):
                root = psutil.Process(self._pid)
                usage = usage_of([root, *root.children(recursive=True)])
                self._looks.append((time.monotonic(), usage))


# Temporary folders that go with the tool, and that a later tool sweeps up if they could not.


_PREFIX = "speedtest-work-"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for temporary files; its name says whose it is, should it be left over."""
    own = psutil.Process()
    prefix = f"{_PREFIX}{own.pid}-{own.create_time():.0f}-"
    made = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield made
    finally:
        with interrupts.held_back(then_drop=True):
            shutil.rmtree(made, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of tools that were killed."""
    for leftover in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*-*"):
        with contextlib.suppress(ValueError, OSError):
            pid, started = leftover.name.removeprefix(_PREFIX).split("-")[:2]
            if not owner_alive(int(pid), float(started)):
                shutil.rmtree(leftover, ignore_errors=True)
