"""Folders that this tool creates and can recreate: each one complete, or absent.

A folder is filled under another name and renamed when it is complete; the file ``environment.json``
in it is written last and describes it. A process holds the lock of a folder while it creates or
removes it, so leftovers of a killed process can be recognized and deleted.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.paths import with_tilde

MARKER = "environment.json"
FULL_BYTES = 20_000_000
"""If less is free after a failure, the failure is attributed to a full disk."""
SPARE_SHARE = 1.1
"""Factor on a recipe's size, for differences between platforms."""

FreeBytes = Callable[[Path], int]
"""Free space on the file system of a folder."""


def free_bytes(folder: Path) -> int:
    """Free space on the file system of ``folder``."""
    return shutil.disk_usage(folder).free


def read_marker(path: Path) -> dict[str, Any] | None:
    """The content of the marker in the folder ``path``; ``None`` if missing or damaged."""
    try:
        return files.decode_json((path / MARKER).read_bytes(), dict[str, Any])
    except (OSError, ValueError):
        return None


def write_marker(staging: Path, fields: Mapping[str, Any]) -> None:
    """Write the last file, which marks the folder as complete."""
    files.write_bytes(staging / MARKER, (json.dumps(fields, indent=2) + "\n").encode())


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(status.st_size for status in files.statuses(folder))


def lock_path(target: Path) -> Path:
    """The lock file that a process holds while it creates or removes ``target``."""
    return target.with_name(f"{target.name}.lock")


def delete_leftovers(folder: Path, *, own: Path) -> None:
    """Delete the leftovers of killed installs and removals.

    Staging folders are named ``.TARGET.RANDOM``; a live install holds the lock of TARGET, and so
    the caller holds the lock of ``own``.
    """
    for left in folder.glob(".*@*"):
        target = left.with_name(left.name[1:].rpartition(".")[0])
        if target == own:
            shutil.rmtree(left, ignore_errors=True)
            continue
        with files.locked(lock_path(target), wait=False) as idle:
            if idle:
                shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield a folder that becomes ``target`` if the block succeeds, and is deleted otherwise.

    Unlike :func:`files.staged_directory` it does not sync thousands of files to the disk, which
    takes longer than writing them: such a folder can be recreated; it must only be complete.
    """
    try:
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield staging
            staging.chmod(0o755)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {with_tilde(target)}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def check_space(folder: Path, needed: int, name: str, free_bytes: FreeBytes) -> None:
    """Check that ``name`` fits on the disk of ``folder``, which needs that many bytes.

    Raises:
        StorageError: too little is free.
    """
    free = free_bytes(folder)
    if free < needed:
        raise StorageError(
            f"{name} needs {megabytes(needed)} ({needed} bytes) in {with_tilde(folder)}, "
            f"but {megabytes(free)} ({free} bytes) are free",
            hint="free some space, or move the cache with SPEEDTEST_CACHE_DIR",
        )


def remove(path: Path) -> int:
    """Delete a complete folder, and return the number of freed bytes.

    Files that uv's cache shares are not counted: clearing that cache frees them.

    Raises:
        StorageError: it could not be deleted.
    """
    # Renamed first, so that the leftovers of a killed removal do not look complete.
    doomed = path.with_name(f".{path.name}.removed")
    try:
        with files.locked(lock_path(path)):
            freed = sum(status.st_size for status in files.statuses(path) if status.st_nlink == 1)
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
            shutil.rmtree(doomed)
    except OSError as error:
        raise StorageError(
            f"cannot remove {with_tilde(path)}: {error.strerror or error}",
            hint="check the permissions of that folder",
        ) from error
    return freed
