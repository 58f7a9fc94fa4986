"""Owners of workers and temporary folders, and removal of those that killed tools left behind.

A folder is in use while a process holds its lock, which the system releases when that process ends.
A worker's mark identifies its tool by pid namespace, pid and start, in ticks since the system
started. No wall clock is compared, because clocks can be changed while programs run. Processes and
folders of other hosts or containers are left alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from mac_whisper_speedtest import files, interrupts
from mac_whisper_speedtest.machine.reader import Reader

MARK = "SPEEDTEST_WORKER"
"""Environment variable that all processes of a worker inherit, also those that left its group."""

_PREFIX = "speedtest-work-"
_ENDED = ("Z", "X")
"""States of processes that have ended but are still listed (proc(5))."""


def new_mark() -> str:
    """A mark for a worker of this process: ``<pid namespace>-<pid>-<start>-<random>``."""
    pid = os.getpid()
    return f"{_namespace()}-{pid}-{_start_of(pid)}-{secrets.token_hex(8)}"


def marked_processes(mark: str) -> list[psutil.Process]:
    """Every running process of this user whose environment carries ``mark``."""
    return [process for process, found in _marks() if found == mark]


def kill_orphans() -> int:
    """Kill workers left by a tool that was killed with SIGKILL; return how many."""
    killed = 0
    for process, mark in _marks():
        if not _owner_lives(mark):
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed += 1
    return killed


def _marks() -> Iterator[tuple[psutil.Process, str]]:
    """Every other process that has a mark, with its mark."""
    for process in psutil.process_iter():
        # Suppressed: processes of other users or the system, and processes that are ending.
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(MARK) if process.pid != os.getpid() else None
            if mark:
                yield process, mark


def _owner_lives(mark: str) -> bool:
    """Whether the tool of a mark runs, or may run in a namespace that is not visible here."""
    namespace, pid, started, *_ = [*mark.split("-"), "", ""]
    if namespace != _namespace() or not pid.isdecimal():
        return True
    return _start_of(int(pid)) == started


def _namespace() -> str:
    """This process's pid namespace; a unique name if /proc shows another namespace's processes."""
    if sys.platform != "linux":
        return "0"
    try:
        if Path("/proc/self").readlink().name == str(os.getpid()):
            return Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        pass
    return secrets.token_hex(8)


def _start_of(pid: int) -> str:
    """When a process started, in the system's own count; empty if it does not run."""
    if sys.platform != "linux":  # macOS keeps the start time when the clock is changed
        try:
            return str(psutil.Process(pid).create_time())
        except psutil.Error:
            return ""
    try:
        # The program's name, in parentheses, can contain anything (proc(5)).
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
    except OSError:
        return ""
    state, *others = after_name.split()
    return "" if state in _ENDED else others[18]


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files; removed after the block, and after a signal."""
    with interrupts.as_keyboard_interrupt(), contextlib.ExitStack() as stack:
        with interrupts.held_back():
            made, claim = files.claimed_directory(Path(tempfile.gettempdir()), _prefix())
            stack.callback(_remove, made, claim)
        yield made


def remove_leftover_folders() -> None:
    """Remove the folders of killed tools of this host."""
    files.remove_abandoned_directories(Path(tempfile.gettempdir()), _prefix())


def _remove(folder: Path, claim: int) -> None:
    with interrupts.held_back(then_drop=True):
        shutil.rmtree(folder, ignore_errors=True)
        os.close(claim)


@functools.cache
def _prefix() -> str:
    """The prefix of this host's folders, until the host restarts.

    On a shared file system, a host does not always see another's locks.
    """
    reader = Reader()
    path = "/proc/sys/kernel/random/boot_id"
    boot = reader.sysctl("kern.bootsessionuuid") if reader.macos else reader.read(path)
    return f"{_PREFIX}{boot[:13] if isinstance(boot, str) else 'unknown'}-"
