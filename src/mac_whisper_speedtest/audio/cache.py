"""The PCM cache: every recording is decoded once and named by the hash of its bytes.

An entry is two files: ``NAME.f32``, the raw little-endian samples that workers read, and
``NAME.json``, their number and SHA-256. The hash is checked at every use, so a damaged entry is
detected and rebuilt. (Hashing an hour's samples takes a fraction of a second, and results need
the hash anyway.) Only this user can read the folder, and entries of others are not used: they could
change after the check. The samples are read-only, so no backend can overwrite what the next one
reads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.audio import decode
from mac_whisper_speedtest.audio.recording import READ_ONLY, StoredSamples
from mac_whisper_speedtest.errors import AudioError, StorageError

MAX_BYTES = 4_000_000_000
"""Size that the cache is trimmed to: 17 hours of speech at 64 kB a second."""

_one_at_a_time = threading.Lock()
_lock_handles: dict[Path, int] = {}
"""Cache folders that this process uses, and the locked handle that shows this to others."""


class _EntryInfo(msgspec.Struct, frozen=True):
    """The record of the samples, a file next to them."""

    samples: int
    sha256: str


@dataclass(frozen=True, eq=False)
class CachedPcm:
    """A decoded recording.

    Attributes:
        stored: a file with exactly the samples.
        sha256: of the file's bytes.
    """

    stored: StoredSamples
    sha256: str


def decoded(audio: Path | bytes, *, name: str = "") -> CachedPcm:
    """The recording's samples, from the cache or decoded into it in bounded memory.

    Args:
        audio: a file, or the bytes of one.
        name: its name in messages; the path by default.

    Raises:
        AudioError: it cannot be decoded (see `decode.blocks`), or it changed while it was read.
        StorageError: the cache cannot be written.
    """
    if isinstance(audio, Path):
        decode.check_file(audio)
        before = _identity(audio)
        key = files.sha256_file(audio)
    else:
        before = None
        key = hashlib.sha256(audio).hexdigest()
    path = _folder() / f"{key}-{_version()}.f32"
    found = _whole(path)
    if found is None:
        _make(path, audio, name)
        if isinstance(audio, Path) and _identity(audio) != before:
            _remove(path)
            raise AudioError(
                f"{audio} changed while it was read", hint="run it again when the file is complete"
            )
        found = _whole(path)
    if found is None:
        raise StorageError(
            f"{path} does not hold what was just written to it",
            hint="check that disk, or set SPEEDTEST_CACHE_DIR to a folder on another",
        )
    return found


def trim(folder: Path, max_bytes: int) -> list[Path]:
    """Remove the least recently used entries until the rest fit, and unfinished files.

    The caller must hold the folder exclusively.

    Returns:
        The removed ``.f32`` files.
    """
    for left in [*folder.glob(".*.f32.*"), *folder.glob(".*.json.*")]:
        left.unlink(missing_ok=True)
    entries = []
    for path in folder.glob("*.f32"):
        with contextlib.suppress(OSError):
            status = path.stat()
            entries.append((status.st_mtime_ns, status.st_size, path))
    gone = to_remove(entries, max_bytes)
    for path in gone:
        _remove(path)
    return gone


def clear() -> tuple[int, int]:
    """Remove every decoded recording.

    Returns:
        Their number and total bytes.

    Raises:
        StorageError: another process uses them, or they cannot be removed.
    """
    folder = paths.cache_dir() / "pcm"
    if not folder.is_dir():
        return 0, 0
    try:
        handle = os.open(folder / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not files.claim_handle(handle):
                raise StorageError(
                    "a run uses the decoded recordings", hint="try again when it has ended"
                )
            sizes = [path.stat().st_size for path in folder.glob("*.f32")]
            trim(folder, 0)
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(
            f"cannot remove from {folder}: {error.strerror or error}",
            hint="check that folder's permissions",
        ) from error
    return len(sizes), sum(sizes)


def to_remove(entries: Iterable[tuple[int, int, Path]], max_bytes: int) -> list[Path]:
    """The least recently used entries ``(last used, bytes, path)`` that exceed ``max_bytes``."""
    newest_first = sorted(entries, reverse=True)
    total = 0
    gone = []
    for _used, size, path in newest_first:
        total += size
        if total > max_bytes:
            gone.append(path)
    return gone


def _folder() -> Path:
    """The cache's folder, marked as used by this process until it ends.

    A run reads its entries until it ends, so none may be removed during a run. Therefore the cache
    is trimmed only when a process starts to use it and no other does; a run may exceed the limit.
    """
    folder = paths.cache_dir() / "pcm"
    with _one_at_a_time:
        return folder if folder in _lock_handles else _opened(folder)


def _opened(folder: Path) -> Path:
    try:
        files.private_folder(folder)
        handle = os.open(folder / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(
            f"cannot write in {folder}: {error.strerror or error}",
            hint="check that folder's permissions, or set SPEEDTEST_CACHE_DIR to another",
        ) from error
    alone = False
    with contextlib.suppress(OSError):  # a file system without locks: nothing is removed
        alone = files.claim_handle(handle)
    if alone:
        trim(folder, MAX_BYTES)
    with contextlib.suppress(OSError):
        files.claim_handle(handle, shared=True, wait=True)
    _lock_handles[folder] = handle
    return folder


@functools.cache
def _version() -> str:
    from importlib import metadata

    return f"{decode.DECODER}-av{metadata.version('av')}-soxr{metadata.version('soxr')}"


def _make(path: Path, audio: Path | bytes, name: str) -> None:
    """Decode into ``path``, which is then complete or absent."""
    digest = hashlib.sha256()
    samples = 0
    hint = "check the free disk space, or set SPEEDTEST_CACHE_DIR to another disk"
    # Not synced: the hash reveals what a power cut damaged, and it is decoded again.
    with files.replacing(path, hint=hint, synced=False) as stream:
        for block in decode.blocks(audio, name=name):
            data = block.astype("<f4", copy=False).tobytes()
            digest.update(data)
            stream.write(data)
            samples += block.size
    path.chmod(READ_ONLY)
    facts = _EntryInfo(samples, digest.hexdigest())
    with files.replacing(path.with_suffix(".json"), hint=hint, synced=False) as stream:
        stream.write(msgspec.json.encode(facts))


def _whole(path: Path) -> CachedPcm | None:
    """The entry, if it is present, undamaged and this user's."""
    try:
        facts = files.decode_json(path.with_suffix(".json").read_bytes(), _EntryInfo)
        if path.stat().st_size != 4 * facts.samples or not files.is_own(path):
            return None
        if files.sha256_file(path) != facts.sha256:
            return None
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the time of its last use
    return CachedPcm(StoredSamples(path, facts.samples), facts.sha256)


def _remove(path: Path) -> None:
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
