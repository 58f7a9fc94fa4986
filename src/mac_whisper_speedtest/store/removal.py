"""Removing runs: in one step out of sight, then file by file, and never one that is being written.

The number of a removed run is never given to another.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import directory, numbers
from mac_whisper_speedtest.results.directory import RunDirectory

TRASH = ".removed-"
"""At the beginning of the name that a run has while its files go."""


def check(run: RunDirectory) -> None:
    """Find out whether ``run`` may be removed.

    Raises:
        UsageError: it is being written, or does not lie in the data folder.
    """
    if run.path.resolve().parent != directory.runs_dir().resolve():
        raise UsageError(
            f"{run.path} is not in the data folder", hint="remove it by hand, if it is to go"
        )
    with _claimed(run):
        pass


def remove(run: RunDirectory) -> int:
    """Remove a run, and return the bytes that this freed.

    Raises:
        UsageError: as ``check``.
        StorageError: it cannot be removed; it is then either still there or half-removed trash
            that ``gc`` takes away.
    """
    check(run)
    root = directory.runs_dir()
    try:
        numbers.retire(root, run.number)
        with _claimed(run):
            trash = out_of_sight(run.path)
        freed = size_bytes(trash)
        shutil.rmtree(trash)
    except OSError as error:
        raise StorageError(
            f"cannot remove {run.path}: {error.strerror or error}",
            hint="check the permissions there; `speedtest results gc` removes what is left",
        ) from error
    return freed


def out_of_sight(path: Path) -> Path:
    """Give a run's folder a name that nothing looks for, durably. Raises OSError."""
    trash = path.with_name(f"{TRASH}{path.name}")
    if trash.exists():  # of a removal that was killed, when numbers were still given twice
        shutil.rmtree(trash)
    path.rename(trash)
    files.fsync_dir(trash.parent)
    return trash


def size_bytes(path: Path) -> int:
    """What a file, or a folder and all in it, takes; what goes meanwhile counts as nothing."""
    total = 0
    for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            if not each.is_dir() or each.is_symlink():
                total += each.lstat().st_size
    return total


@contextlib.contextmanager
def _claimed(run: RunDirectory) -> Iterator[None]:
    """Hold a run's journal, so that no tool can begin to write it meanwhile.

    Raises:
        UsageError: one does already.
    """
    try:
        handle = os.open(run.journal_path, os.O_RDONLY)
    except OSError:  # it has none
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"run {directory.name_of(run)} is being written just now",
                hint="wait until it has ended, or end it with Ctrl-C",
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)
