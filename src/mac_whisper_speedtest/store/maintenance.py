"""Leftovers of crashed processes in the data folder: found, and removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import journal as seal
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.store import database, location

# Removing runs: in one step out of sight, then file by file, and never one that is being written.
#
# The number of a removed run is never given to another.


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
        directory.retire(root, run.number)
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
        claimed = True
        with contextlib.suppress(OSError):  # a file system without locks
            claimed = files.claim_handle(handle)
        if not claimed:
            raise UsageError(
                f"run {directory.name_of(run)} is being written just now",
                hint="wait until it has ended, or end it with Ctrl-C",
            )
        yield
    finally:
        os.close(handle)


REST_S = 3600.0
"""What was touched within the last hour may still be somebody's: a tool makes a run's folder before
it writes the manifest, and seals it after it has let go of the journal."""

_IMPORT = ".import"
"""Where an import puts its files together; see ``unpack``."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One leftover.

    Attributes:
        path: a file or a folder.
        what: it is, for people.
        size_bytes: what its removal frees.
    """

    path: Path
    what: str
    size_bytes: int


def leftovers(now_s: float | None = None) -> list[Leftover]:
    """Every leftover, in a fixed order. Removes nothing.

    Args:
        now_s: seconds since 1970; by default the present.

    Raises:
        StorageError: the data folder cannot be read.
    """
    root = directory.runs_dir()
    before_s = (time.time() if now_s is None else now_s) - REST_S
    try:
        found = [*_of_runs(root, before_s), *_of_index()]
    except OSError as error:
        raise StorageError(f"cannot read {root}: {error.strerror}") from error
    return [Leftover(path, what, size_bytes(path)) for path, what in found]


def take_away(item: Leftover) -> None:
    """Remove one of them. A folder goes out of sight first, in one step.

    Raises:
        StorageError: it cannot be removed.
    """
    path = item.path
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            return
        if directory.is_number(path.name):
            directory.retire(path.parent, int(path.name))
            path = out_of_sight(path)
        shutil.rmtree(path)
    except FileNotFoundError:
        return  # another was quicker
    except OSError as error:
        raise StorageError(
            f"cannot remove {path}: {error.strerror or error}",
            hint="check the permissions of that folder",
        ) from error


def _of_runs(root: Path, before_s: float) -> Iterator[tuple[Path, str]]:
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if path.name.startswith(TRASH):
            yield path, "of a removal that was cut off"
        elif path.name.startswith(".") and _staged(path) and _at_rest(path, before_s):
            yield path, "of a tool that was killed"
        elif path.is_dir() and directory.is_number(path.name):
            yield from _of_run(path, before_s)


def _of_run(path: Path, before_s: float) -> Iterator[tuple[Path, str]]:
    if seal.is_being_written(path / "journal.jsonl") or not _at_rest(path, before_s):
        return
    if not (path / "manifest.json").exists():
        yield path, "a run without a manifest: its tool was killed at once"
        return
    for item in sorted(path.iterdir()):
        if item.name.startswith(".") and item.is_file():
            yield item, "a file that was not written to its end"


def _of_index() -> Iterator[tuple[Path, str]]:
    path = location.here().path
    if path is not None:
        aside = path.with_name(path.name + database.ASIDE)
        if aside.exists():
            yield aside, "an index that could not be used"


def _staged(path: Path) -> bool:
    """Whether something was to become a run: under its number, or as an import."""
    return path.name == _IMPORT or directory.is_number(path.name[1:].partition(".")[0])


def _at_rest(path: Path, before_s: float) -> bool:
    """Whether neither it nor anything in it was touched since."""
    newest = [path.lstat().st_mtime]
    newest += [each.lstat().st_mtime for each in path.rglob("*")] if path.is_dir() else []
    return max(newest) < before_s
