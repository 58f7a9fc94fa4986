"""Ending a worker with everything it started, and finding what an earlier tool left behind."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

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
    for process in [*doomed, *marked(mark)]:
        with contextlib.suppress(psutil.Error):
            process.kill()


def marked(mark: str) -> list[psutil.Process]:
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
