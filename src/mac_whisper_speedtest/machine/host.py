"""Control over the host: idle sleep, priority, and the cores of a worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from mac_whisper_speedtest.errors import SpeedtestError

CAFFEINATE = "/usr/bin/caffeinate"
_PRIO_DARWIN_PROCESS = 4
"""As in macOS's <sys/resource.h>; Python 3.12 has the name, too."""
_AWAKE = ("-ims",)
_END_TIMEOUT_S = 2.0


@contextlib.contextmanager
def caffeinate(program: str = CAFFEINATE, *, platform: str = sys.platform) -> Iterator[str]:
    """Keep a Mac awake inside the ``with``; elsewhere do nothing.

    Yields what keeps it awake or why nothing does, for the record; empty elsewhere.

    ``caffeinate -ims -w PID`` holds assertions against idle sleep (``-i``), disk sleep (``-m``)
    and, on mains, system sleep (``-s``). It is terminated at the end of the ``with``, and exits by
    itself when this process ends in any way. App Nap affects only programs with windows.
    """
    if platform != "darwin":
        yield ""
        return
    try:
        process = subprocess.Popen(
            [program, *_AWAKE, "-w", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        yield f"the machine may go to sleep: caffeinate cannot be started: {error.strerror}"
        return
    try:
        yield " ".join(["caffeinate", *_AWAKE])
    finally:
        process.terminate()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class PlacementError(SpeedtestError):
    """The requested cores or niceness are not available on this machine or to this user."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The cores and the priority of a worker.

    Attributes:
        cores: logical cores; empty for all that the tool may use.
        nice: added to the tool's own niceness.
    """

    cores: tuple[int, ...] = ()
    nice: int = 0


def placement(
    *, cores: Collection[int] = (), nice: int = 0, platform: str = sys.platform
) -> Placement:
    """Check the requested cores and niceness, before any worker starts.

    Raises:
        PlacementError: macOS has no affinity; this process may not use one of the cores; a priority
            above the tool's needs root.
    """
    if cores and platform != "linux":
        raise PlacementError(
            f"cores {_listed(cores)} cannot be assigned to a worker: this system has no affinity",
            hint="omit the option; --threads sets how many cores are used",
        )
    allowed = os.sched_getaffinity(0) if cores else set()
    if foreign := sorted(set(cores) - allowed):
        raise PlacementError(
            f"cores {_listed(foreign)} are not available to this process",
            hint=f"available: {_listed(allowed)}",
        )
    if nice < 0 and os.geteuid() != 0:
        raise PlacementError(
            f"a niceness of {nice} gives workers priority over other programs, which needs root",
            hint="omit the option: 0 is the default",
        )
    return Placement(tuple(sorted(set(cores))), nice)


def apply_placement(pid: int, placement: Placement) -> list[str]:
    """Apply to a worker that has just been started; threads that it starts later inherit it.

    Call it between starting the process and ``hello``, while the worker has one thread. The parent
    does it because no code may run between fork and exec in a process that has threads.

    Returns:
        what failed, in words.
    """
    failed = []
    if placement.cores:
        try:
            os.sched_setaffinity(pid, placement.cores)
        except (OSError, AttributeError) as error:
            failed.append(f"affinity was not set: {error}")
    if placement.nice:
        try:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, pid, own + placement.nice)
        except OSError as error:
            failed.append(f"niceness was not set: {error}")
    return failed


def slowdown_warnings(
    priority: Callable[[int, int], int] = os.getpriority, *, macos: bool = sys.platform == "darwin"
) -> list[str]:
    """What about this process slows every worker down, in words.

    On macOS a process in the background state (``taskpolicy -b``, ``PRIO_DARWIN_BG``) gets the
    efficiency cores alone, and slow access to the disk. A limit that launchd puts on a job is not
    seen here; the finding ``threads`` sees where a worker ran.

    Args:
        priority: ``getpriority``: of a kind of owner, and of this process for 0.
        macos: whether this is macOS.
    """
    found = []
    nice = priority(os.PRIO_PROCESS, 0)
    if nice > 0:
        found.append(
            f"this tool and its workers run with niceness {nice}: other programs have priority"
        )
    with contextlib.suppress(OSError):
        if macos and priority(_PRIO_DARWIN_PROCESS, 0) == 1:
            found.append(
                "this tool and its workers run in the background: they get efficiency cores alone"
            )
    return found


def _listed(cores: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
