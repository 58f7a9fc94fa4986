"""Removal of files and folders; the rest of a killed removal never looks like weights.

A folder first gets a name that begins with a dot, in one step; only then are its files deleted.
Links are removed, never their targets, and nothing outside a given folder is touched.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError


@dataclass(frozen=True, slots=True)
class TrashItem:
    """One file, folder or link to remove.

    Attributes:
        path: a file, a folder or a link.
        what: description for messages.
        size_bytes: the space that its removal frees.
        root: the folder that must contain it.
        locks: held while it is removed.
        only_if_empty: it is a folder, and is kept if it is no longer empty.
    """

    path: Path
    what: str
    size_bytes: int
    root: Path
    locks: tuple[Path, ...] = ()
    only_if_empty: bool = False


def trash_item(path: Path, what: str, root: Path, locks: Sequence[Path] = ()) -> TrashItem:
    """``path`` with its size, for removal."""
    return TrashItem(path, what, size_bytes(path), root, tuple(locks))


def size_bytes(path: Path) -> int:
    """The space that removing ``path`` frees, without link targets and files with other names."""
    return sum(each.st_size for each in files.statuses(path) if each.st_nlink == 1)


def newest_change_s(path: Path) -> float:
    """The newest modification time in ``path``, in seconds since 1970; 0 if it does not exist."""
    times = [each.st_mtime for each in files.statuses(path)]
    with contextlib.suppress(OSError):
        times.append(path.lstat().st_mtime)
    return max(times, default=0.0)


def children(folder: Path) -> list[Path]:
    """The entries of ``folder`` in order of names; none if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def inside(path: Path, root: Path) -> bool:
    """Whether ``path`` itself, without following it if it is a link, is below ``root``."""
    really = path.parent.resolve() / path.name
    return path.name not in {"", ".", ".."} and root.resolve() in really.parents


def remove_item(item: TrashItem, waiting: Callable[[str], None] | None = None) -> int | None:
    """Remove ``item``.

    Args:
        item: what to remove.
        waiting: receives a line before waiting for another process; without it, a lock
            of another process is not waited for.

    Returns:
        The bytes that were freed; ``None`` if another process holds a lock and was not waited for.

    Raises:
        StorageError: it cannot be removed, or is outside its root.
    """
    if not inside(item.path, item.root):
        raise StorageError(
            f"{item.path} leads out of {item.root}", hint="remove it by hand if you do not need it"
        )
    with (
        files.storage_errors(f"remove {item.path}", "check the permissions of that folder"),
        held(item.locks, waiting) as all_held,
    ):
        if not all_held:
            return None
        freed = 0 if item.only_if_empty else size_bytes(item.path)
        _remove(item)
        return freed


def _remove(item: TrashItem) -> None:
    path = item.path
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    elif item.only_if_empty:
        with contextlib.suppress(OSError):  # another process has added a file since
            path.rmdir()
    else:
        remove_folder(path)


def remove_folder(path: Path) -> None:
    """Rename a folder out of the way, then remove it. Raises OSError."""
    if not path.name.startswith("."):
        hidden = path.with_name(f".{path.name}.removed")
        if hidden.is_symlink():
            hidden.unlink()
        elif hidden.exists():  # of a removal that was killed
            shutil.rmtree(hidden)
        path = path.rename(hidden)
    shutil.rmtree(path)


@contextlib.contextmanager
def held(locks: Sequence[Path], waiting: Callable[[str], None] | None = None) -> Iterator[bool]:
    """Hold all ``locks``; yields whether it holds them (always true with ``waiting``).

    Raises:
        OSError: a lock cannot be written.
    """

    def notify(path: Path) -> None:
        if waiting is not None:
            waiting(f"another process is working on {path.stem}; waiting for it")

    with contextlib.ExitStack() as stack:
        # Always in the same order, so that two processes never wait for each other.
        yield all(
            stack.enter_context(
                files.locked(path, wait=waiting is not None, notify=functools.partial(notify, path))
            )
            for path in sorted(locks)
        )


def is_free(lock: Path) -> bool:
    """Whether no process holds that lock now. Does not create the lock."""
    if not lock.exists():
        return True
    try:
        with held([lock]) as is_held:
            return is_held
    except OSError:
        return False  # it cannot be tested
