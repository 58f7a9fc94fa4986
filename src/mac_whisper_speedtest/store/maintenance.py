"""Removes runs, and finds and removes leftovers of crashed processes in the data folder."""

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
from mac_whisper_speedtest.results import journal as journaling
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.store import database, location

# Removing runs: one rename hides the run, then its files are deleted. A run that is being written
# is never removed, and the number of a removed run is never used again.


TRASH = ".removed-"
"""Prefix of a run's folder while its files are deleted."""


def require_removable(run: RunDirectory) -> None:
    """Check that ``run`` may be removed.

    Raises:
        UsageError: it is being written, or is not in the data folder.
    """
    if run.path.resolve().parent != directory.runs_dir().resolve():
        raise UsageError(
            f"{run.path} is not in the data folder", hint=f"to remove it: rm -r {run.path}"
        )
    with _claimed(run):
        pass


def remove(run: RunDirectory) -> int:
    """Remove a run, and return the bytes that this freed.

    Raises:
        UsageError: as ``require_removable``.
        StorageError: it cannot be removed; it is then either unchanged or partly deleted, and
            ``gc`` removes the rest.
    """
    require_removable(run)
    root = directory.runs_dir()
    try:
        directory.retire(root, run.number)
        with _claimed(run):
            trash = hide(run.path)
        freed = size_bytes(trash)
        shutil.rmtree(trash)
    except OSError as error:
        raise StorageError(
            f"cannot remove {run.path}: {error.strerror or error}",
            hint="check the permissions there; `speedtest results gc` removes the rest",
        ) from error
    return freed


def hide(path: Path) -> Path:
    """Rename a run's folder durably, so that it is no longer a run. Raises OSError."""
    trash = path.with_name(f"{TRASH}{path.name}")
    if trash.exists():  # of an interrupted removal, by a version that reused numbers
        shutil.rmtree(trash)
    path.rename(trash)
    files.sync_folder(trash.parent)
    return trash


def size_bytes(path: Path) -> int:
    """The size of a file, or of all files of a folder."""
    return sum(each.st_size for each in files.statuses(path))


@contextlib.contextmanager
def _claimed(run: RunDirectory) -> Iterator[None]:
    """Lock a run's journal, so that no tool starts to write it during the removal.

    Raises:
        UsageError: a tool is writing it.
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
                f"run {directory.name_of(run)} is being written",
                hint="wait until it has ended, or end it with Ctrl-C",
            )
        yield
    finally:
        os.close(handle)


MINIMUM_AGE_S = 3600.0
"""Files modified within the last hour may be in use: a tool creates a run's folder before it writes
the manifest, and seals it after it has closed the journal."""

_IMPORT = ".import"
"""The folder in which an import assembles a run; see ``bundle.read``."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One leftover.

    Attributes:
        path: a file or a folder.
        what: a description, for people.
        size_bytes: freed by its removal.
    """

    path: Path
    what: str
    size_bytes: int


def leftovers(now_s: float | None = None) -> list[Leftover]:
    """Every leftover, in a fixed order. Removes nothing.

    Args:
        now_s: seconds since 1970; by default the current time.

    Raises:
        StorageError: the data folder cannot be read.
    """
    root = directory.runs_dir()
    before_s = (time.time() if now_s is None else now_s) - MINIMUM_AGE_S
    try:
        found = [*_run_leftovers(root, before_s), *_index_leftovers()]
    except OSError as error:
        raise StorageError(f"cannot read {root}: {error.strerror}") from error
    return [Leftover(path, what, size_bytes(path)) for path, what in found]


def remove_leftover(item: Leftover) -> None:
    """Remove a leftover. A run's folder is hidden first, by one rename.

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
            path = hide(path)
        shutil.rmtree(path)
    except FileNotFoundError:
        return  # another process has removed it
    except OSError as error:
        raise StorageError(
            f"cannot remove {path}: {error.strerror or error}",
            hint="check the permissions of that folder",
        ) from error


def _run_leftovers(root: Path, before_s: float) -> Iterator[tuple[Path, str]]:
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if path.name.startswith(TRASH):
            yield path, "an interrupted removal"
        elif path.name.startswith(".") and _staged(path) and _is_old(path, before_s):
            yield path, "files of a killed tool"
        elif path.is_dir() and directory.is_number(path.name):
            yield from _leftovers_in_run(path, before_s)


def _leftovers_in_run(path: Path, before_s: float) -> Iterator[tuple[Path, str]]:
    if journaling.is_being_written(path / "journal.jsonl") or not _is_old(path, before_s):
        return
    if not (path / "manifest.json").exists():
        yield path, "a run without a manifest: the tool was killed at its start"
        return
    for item in sorted(path.iterdir()):
        if item.name.startswith(".") and item.is_file():
            yield item, "an incomplete file"


def _index_leftovers() -> Iterator[tuple[Path, str]]:
    path = location.index_location().path
    if path is not None:
        aside = path.with_name(path.name + database.SET_ASIDE)
        if aside.exists():
            yield aside, "an unusable index"


def _staged(path: Path) -> bool:
    """Whether it is a folder in which a run or an import was being assembled."""
    return path.name == _IMPORT or directory.is_number(path.name[1:].partition(".")[0])


def _is_old(path: Path, before_s: float) -> bool:
    """Whether it and its content were last modified before ``before_s``."""
    newest = [path.lstat().st_mtime]
    newest += [each.lstat().st_mtime for each in path.rglob("*")] if path.is_dir() else []
    return max(newest) < before_s
