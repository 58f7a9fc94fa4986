"""Control over the host: one measurement at a time, idle sleep, priority, cores of a worker."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.errors import SpeedtestError

CAFFEINATE = "/usr/bin/caffeinate"
_PRIO_DARWIN_PROCESS = 4
"""As in macOS's <sys/resource.h>; Python 3.12 has the name, too."""
_AWAKE = ("-ims",)
_END_TIMEOUT_S = 2.0


_LONGEST_HOLDER = 100
"""Bytes of the lock file that are read: a process id."""


@contextlib.contextmanager
def measuring_alone(notify: Callable[[str], None], *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of all who measure on this machine, of any user, inside the ``with``.

    Two measurements at once would both measure the other one. The system releases the lock when
    this process ends in any way. A process that waits does not wake up until its turn. Where the
    file cannot be used, a line says so and nothing is locked.

    Args:
        notify: called with a line before a wait, and with the reason where nothing is locked.
        wait: whether to wait for another process that holds it.

    Yields:
        Whether no other process measures, if this is known: always true with ``wait``.
    """
    path = paths.machine_lock()
    handle, free = -1, False
    try:
        try:
            while handle < 0:
                handle = _open_lock(path)
                free = _claim(handle, notify, wait=wait)
                if free and not _is_at(path, handle):  # cleared away meanwhile, as macOS does
                    os.close(handle)
                    handle = -1
        except OSError as error:
            notify(f"other measurements are not held off: {path}: {error.strerror}")
            free = True
        yield free
    finally:
        if handle >= 0:
            os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _open_lock(path: Path) -> int:
    """A handle of the lock file, which any user may have made.

    Nothing is trusted in a folder that everybody can write: a link is not followed, a pipe is not
    waited for, and another user's file is opened for reading, which is enough to lock it. It is
    made with ``O_EXCL``, because Linux refuses ``O_CREAT`` on another user's file
    (fs.protected_regular).

    Raises:
        OSError: it can be neither opened nor made, or is no ordinary file.
    """
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    refused = OSError()
    for access in (os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR, os.O_RDONLY):
        try:
            handle = os.open(path, access | flags, 0o644)
        except (FileExistsError, FileNotFoundError, PermissionError) as error:
            refused = error
            continue
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "is no ordinary file")
        if access & os.O_CREAT:
            os.fchmod(handle, 0o644)  # whatever the umask: others must be able to lock it
        return handle
    raise refused


def _claim(handle: int, notify: Callable[[str], None], *, wait: bool) -> bool:
    free = files.claim_handle(handle)
    if not free:
        holder = _holder(handle)
        notify(f"{holder} measures on this machine" + ("; waiting for its end" if wait else ""))
        free = wait and files.claim_handle(handle, wait=True)
    if free:
        with contextlib.suppress(OSError):  # another user's file
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return free


def _holder(handle: int) -> str:
    """Who holds the lock, in words: the process that wrote itself into the file, if it runs."""
    pid = 0
    try:
        pid = int(os.pread(handle, _LONGEST_HOLDER, 0))
        os.kill(pid, 0)
    except PermissionError:
        return f"process {pid} of another user"
    except (OSError, ValueError, OverflowError):
        return "another process"
    return f"process {pid}" if pid > 0 else "another process"


@contextlib.contextmanager
def caffeinate(program: str = CAFFEINATE, *, platform: str = sys.platform) -> Iterator[str]:
    """Keep a Mac awake inside the ``with``; elsewhere do nothing.

    Yields what keeps it awake, or why that failed, for the record; empty elsewhere.

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
        yield f"the machine may sleep: caffeinate cannot be started: {error.strerror}"
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
                "this tool and its workers run in the background: they get only efficiency cores"
            )
    return found


def _listed(cores: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
