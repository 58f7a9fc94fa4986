"""Keeping the host out of the way: idle sleep, priority, and which cores a worker may use."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mac_whisper_speedtest.errors import SpeedtestError

CAFFEINATE = "/usr/bin/caffeinate"
_END_TIMEOUT_S = 2.0


@contextlib.contextmanager
def caffeinate(program: str = CAFFEINATE, *, platform: str = sys.platform) -> Iterator[str]:
    """Keep a Mac awake inside the ``with``; elsewhere do nothing.

    ``caffeinate -ims -w PID`` holds assertions against idle sleep (``-i``), disk sleep (``-m``)
    and, on mains, system sleep (``-s``). It ends by itself when this process does, however that
    ends, and is ended on leaving. App Nap slows down programs whose windows are not seen; programs
    started from a terminal have none.

    Yields:
        what was done, or why nothing was, in words for the manifest.
    """
    if platform != "darwin":
        yield "not needed: only macOS goes to sleep while programs run"
        return
    try:
        process = subprocess.Popen(
            [program, "-ims", "-w", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        yield f"not held: caffeinate cannot be started ({error.strerror})"
        return
    try:
        yield "caffeinate -ims"
    finally:
        process.terminate()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class PlacementError(SpeedtestError):
    """Cores or a niceness were asked for that this machine or user cannot have."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker runs and how it is preferred.

    Attributes:
        cores: logical cores it may use; empty for all that the tool may use.
        nice: added to the tool's own niceness; 0 leaves it.
    """

    cores: tuple[int, ...] = ()
    nice: int = 0


def placement(
    *, cores: Collection[int] = (), nice: int = 0, platform: str = sys.platform
) -> Placement:
    """Check what was asked for, before any worker is started.

    Raises:
        PlacementError: macOS has no affinity; a core is none of those this process may use; a
            priority above the tool's takes root.
    """
    if cores and platform != "linux":
        raise PlacementError(
            f"cores {_listed(cores)} cannot be given to a worker: this system has no affinity",
            hint="leave the option out; --threads decides how many cores are used",
        )
    allowed = os.sched_getaffinity(0) if cores else set()
    if foreign := sorted(set(cores) - allowed):
        raise PlacementError(
            f"cores {_listed(foreign)} are none that this process may use",
            hint=f"it may use {_listed(allowed)}",
        )
    if nice < 0 and os.geteuid() != 0:
        raise PlacementError(
            f"a niceness of {nice} puts workers above other programs, which takes root",
            hint="leave the option out: 0 is what programs have",
        )
    return Placement(tuple(sorted(set(cores))), nice)


def place(pid: int, wanted: Placement) -> list[str]:
    """Apply to a worker that has just been started; threads that it starts later inherit it.

    To be called between starting the process and ``hello``, while it has one thread. It is done
    from here because nothing may run between fork and exec in a process that has threads.

    Returns:
        what could not be done, in words; empty if all was.
    """
    failed = []
    if wanted.cores:
        try:
            os.sched_setaffinity(pid, wanted.cores)
        except (OSError, AttributeError) as error:
            failed.append(f"affinity was not set: {error}")
    if wanted.nice:
        try:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, pid, own + wanted.nice)
        except OSError as error:
            failed.append(f"niceness was not set: {error}")
    return failed


def concerns(own_nice: int | None = None) -> list[str]:
    """What about this process would slow every worker down, in words; empty if nothing would.

    Args:
        own_nice: the tool's niceness, which workers inherit; asked of the system by default.
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0) if own_nice is None else own_nice
    if nice > 0:
        return [f"this tool runs with niceness {nice}, and so do its workers: others come first"]
    return []


def _listed(cores: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
