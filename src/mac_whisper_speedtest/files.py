"""Atomic and durable writes, locks and hashes of files.

A write is: temporary file next to the target, `sync`, rename, `sync` of the directory. A file is
therefore complete or absent, even after a power failure.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.errors import StorageError

CHECK_FOLDER = "check the free disk space and the permissions of that folder"
"""What helps where something cannot be written."""

_Decoded = TypeVar("_Decoded")


@contextlib.contextmanager
def storage_errors(doing: str, hint: str = CHECK_FOLDER) -> Iterator[None]:
    """Turn an OSError of the block into a `StorageError`: it could not do ``doing``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {doing}: {error.strerror or error}", hint=hint) from error


def megabytes(size_bytes: float, decimals: int = 0) -> str:
    """A size in decimal units for people: ``405 MB``, and from 10^9 bytes ``1.2 GB``."""
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.{decimals}f} MB"


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file as 64 hexadecimal digits, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_sha1(path: Path) -> str:
    """The git hash of a file, by which the hub identifies small files, as hexadecimal digits.

    The SHA-1 of ``blob``, the size, a zero byte and the content (git-hash-object).
    """
    content = path.read_bytes()
    digest = hashlib.sha1(usedforsecurity=False)  # as git defines it
    digest.update(b"blob %d\0" % len(content) + content)
    return digest.hexdigest()


def decode_json(data: bytes, kind: type[_Decoded]) -> _Decoded:
    """JSON as a value of that type, within the program's `limits`.

    Raises:
        ValueError: it is not JSON, not of that type, or out of its limits.
    """
    import msgspec

    limits.check_depth(data)
    try:
        value = msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    limits.check(value)
    return value


def statuses(path: Path) -> Iterator[os.stat_result]:
    """The status of a file, or of every file of a folder, without links.

    What vanishes meanwhile, or cannot be read, is left out.
    """
    if path.is_symlink():
        return
    if not path.is_dir():
        with contextlib.suppress(OSError):
            yield path.lstat()
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if not file.is_symlink():
                with contextlib.suppress(OSError):
                    yield file.lstat()


def sync(handle: int) -> None:
    """Wait until the content of an open file or folder survives a power failure.

    On macOS, fsync leaves it in the drive's own cache, and ``F_FULLFSYNC`` empties that, with what
    other files have in it (fsync(2), fcntl(2)); file systems without it, such as network ones,
    get fsync.
    """
    full: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(handle, full)
            return
    os.fsync(handle)


def sync_folder(path: Path) -> None:
    """Make a rename or creation inside ``path`` survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def private_folder(path: Path) -> Path:
    """``path`` as a folder that this user alone can enter, with the files written into it later.

    Raises:
        OSError: it cannot be created, or belongs to another user.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def is_own(path: Path) -> bool:
    """Whether ``path`` belongs to this user; files that others can change are not trusted.

    Raises:
        OSError: it cannot be examined.
    """
    return path.stat().st_uid == os.geteuid()


def _bits_of(folder: Path) -> int:
    """A mask of permissions: files in a private folder are private, too."""
    return 0o777 if stat.S_IMODE(folder.stat().st_mode) & 0o077 else 0o700


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` with ``data`` atomically and durably, creating parent folders.

    Raises:
        StorageError: the file could not be written (disk full, no permission, path is a folder).
    """
    with replacing(path) as stream:
        stream.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, hint: str = CHECK_FOLDER, synced: bool = True) -> Iterator[IO[bytes]]:
    """Yield a stream whose content becomes ``path``, atomically and durably, when the block ends.

    Parent folders are created. An exception leaves ``path`` unchanged and no temporary file. In a
    `private_folder` the file can be read by this user alone, elsewhere by everybody.

    Args:
        path: the file to replace.
        hint: of the error if it cannot be written.
        synced: whether to wait for the disk; not where a file that a power cut emptied is noticed.

    Raises:
        StorageError: the file could not be written (disk full, no permission, path is a folder).
    """
    with storage_errors(f"write {path}", hint):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                if synced:
                    sync(stream.fileno())
            Path(name).chmod(0o644 & _bits_of(path.parent))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        if synced:
            sync_folder(path.parent)


@contextlib.contextmanager
def locked(
    path: Path, *, wait: bool = True, notify: Callable[[], None] | None = None
) -> Iterator[bool]:
    """Hold the lock file at ``path``, in the way of the libraries that share it (filelock).

    The system releases it when this process ends, even by a crash. The file is not removed:
    otherwise two processes could each hold a lock file of that name.

    Args:
        path: of the lock file; it and its folder are created if missing.
        wait: whether to wait for another process that holds it.
        notify: called once, before a wait.

    Yields:
        Whether it is held: always true with ``wait``.

    Raises:
        OSError: it cannot be created, or the file system has no locks.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    with contextlib.suppress(filelock.Timeout):
        lock.acquire(timeout=0)
    if not lock.is_locked and wait:
        if notify is not None:
            notify()
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


def claim_handle(handle: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file or folder itself, until its handle is closed or this process ends.

    For data that must itself show whether it is in use, without a lock file that could be lost or
    copied. Unlike `locked`, it needs no import.

    Args:
        handle: of the open file or folder; an existing lock of the handle is converted.
        shared: whether others may hold a shared lock at the same time.
        wait: whether to wait for another process that holds it.

    Returns:
        Whether it is held now.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(
            handle,
            (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB),
        )
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block succeeds.

    Every file inside is synced before the rename, so ``target`` is complete or absent. If another
    process creates ``target`` meanwhile, that one is kept and this one removed. An exception
    removes the staging folder and leaves ``target`` unchanged. Staging folders of crashed processes
    for the same target are removed first.

    Raises:
        StorageError: the folder could not be created, filled or renamed.
    """
    import shutil

    with storage_errors(f"create {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{target.name}."
        remove_abandoned_directories(target.parent, prefix)
        staging, claim = claimed_directory(target.parent, prefix)
    try:
        with storage_errors(f"write {target}"):
            yield staging
            for item in staging.rglob("*"):
                if item.is_file() and not item.is_symlink():
                    with item.open("rb") as stream:
                        os.fsync(stream.fileno())
            sync_folder(staging)  # the drive's cache once for all of them: there may be thousands
            staging.chmod(0o755 & _bits_of(target.parent))
            try:
                staging.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
            else:
                sync_folder(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(claim)


def claimed_directory(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and a handle that locks it until closed or this process ends.

    `remove_abandoned_directories` removes the folder once the lock is free.

    Raises:
        OSError: it cannot be created.
    """
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        claim = os.open(folder, os.O_RDONLY)
        # On a file system without locks nothing is removed either.
        with contextlib.suppress(OSError):
            claim_handle(claim, wait=True)
        if folder.is_dir():
            return folder, claim
        os.close(claim)  # another process removed it before it was locked


def remove_abandoned_directories(parent: Path, prefix: str) -> None:
    """Remove the folders that `claimed_directory` made for processes which have ended."""
    import shutil

    for left in parent.glob(f"{glob.escape(prefix)}*"):
        if left.is_symlink() or not left.is_dir():
            continue
        with contextlib.suppress(OSError):  # another process is removing it
            claim = os.open(left, os.O_RDONLY)
            try:
                if claim_handle(claim):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(claim)
