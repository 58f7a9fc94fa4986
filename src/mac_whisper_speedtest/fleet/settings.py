"""A machine's part in a fleet: one file of settings, and the certificates beside it.

    <data>/fleet/fleet.toml      the scheduler's address, and this machine's name
    <data>/fleet/ca.pem          whose certificates are trusted: this fleet's own authority
    <data>/fleet/ca-key.pem      its key, on the machine of ``speedtest fleet init`` only
    <data>/fleet/scheduler.pem   key and certificate of each part that this machine can take
    <data>/fleet/client.pem
    <data>/fleet/node.pem

The folder is for this user alone. What imports Dask, fsspec and cryptography is not here.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import tomllib
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.printable import shown

DEFAULT_PORT = 8786
"""Dask's, which firewalls may know."""

_FORMAT = 1
_FILE = "fleet.toml"
_LARGEST_BYTES = 16 << 10
"""Of a file in a node's package: a key, a certificate or the settings."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?"
)
_PACKAGES = ("distributed", "fsspec", "cryptography")


class Part(StrEnum):
    """What a machine does in a fleet; each has a certificate of its own."""

    SCHEDULER = "scheduler"
    CLIENT = "client"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """A machine's settings.

    Attributes:
        folder: where they and the certificates are.
        scheduler: its address, such as ``tls://10.0.0.5:8786``.
        name: of this machine, as a node.
    """

    folder: Path
    scheduler: str
    name: str

    @property
    def authority(self) -> Path:
        """The certificate of the fleet's authority."""
        return self.folder / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """The authority's key."""
        return self.folder / "ca-key.pem"

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The scheduler's host, an IPv6 address without brackets, and port."""
        host, _, port = self.scheduler.removeprefix("tls://").rpartition(":")
        return host.strip("[]"), int(port)

    def certificate(self, part: Part) -> Path:
        """The file of that part's key and certificate."""
        return self.folder / f"{part}.pem"

    def own_certificate(self, part: Part) -> Path:
        """The same, which is there and which no other user can read.

        Raises:
            UsageError: it is not.
        """
        path = self.certificate(part)
        try:
            status = path.stat()
        except OSError as error:
            raise UsageError(
                f"this machine has no certificate as {part}: {error.strerror}: {path}",
                hint="speedtest fleet join --from fleet-NAME.zip (a node); the scheduler and run "
                "belong on the machine of speedtest fleet init",
            ) from error
        if status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise UsageError(
                f"others can read this machine's key: {path}", hint=f"chmod 600 '{path}'"
            )
        return path


def require_packages() -> None:
    """Raise UsageError, with what to type, if the packages of the extra are not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"a fleet needs the package{'s' if missing[1:] else ''} {', '.join(missing)}",
            hint="pip install 'mac-whisper-speedtest[fleet]'",
        )


def default_folder() -> Path:
    """Where this user's fleet is."""
    return paths.data_dir() / "fleet"


def load(folder: Path | None = None) -> FleetSettings:
    """The settings of this machine.

    Raises:
        UsageError: it belongs to no fleet, or the file is not what this program writes.
    """
    folder = folder or default_folder()
    path = folder / _FILE
    try:
        with path.open("rb") as stream:
            text = stream.read(_LARGEST_BYTES).decode()
    except FileNotFoundError as error:
        raise UsageError(
            f"this machine belongs to no fleet: there is no {path}",
            hint="speedtest fleet init ADDRESS, or speedtest fleet join --from fleet-NAME.zip",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return _parsed(text, folder, path)


def _parsed(text: str, folder: Path, source: Path | str) -> FleetSettings:
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{source} is not TOML: {error}") from error
    if found.get("format") != _FORMAT:
        raise UsageError(
            f"{source} has format {shown(found.get('format'))}; this version knows {_FORMAT}",
            hint="use the same version of mac-whisper-speedtest on every machine",
        )
    return FleetSettings(
        folder=folder,
        scheduler=checked_address(str(found.get("scheduler", ""))),
        name=checked_name(str(found.get("name", ""))),
    )


def text_of(scheduler: str, name: str) -> str:
    """The file of a machine's settings."""
    return (
        "# This machine's part in a fleet: speedtest fleet --help\n"
        f"format = {_FORMAT}\n"
        f"scheduler = {json.dumps(scheduler)}\n"
        f"name = {json.dumps(name)}\n"
    )


def save(settings: FleetSettings) -> None:
    """Write a machine's settings, into a folder for this user alone. Raises StorageError."""
    with files.storage_errors(f"create {settings.folder}"):
        files.private_folder(settings.folder)
    text = text_of(settings.scheduler, settings.name)
    files.write_bytes(settings.folder / _FILE, text.encode())


def checked_name(text: str) -> str:
    """A name for a machine, which others see. Raises UsageError."""
    if not re.fullmatch(_NAME, text):
        raise UsageError(
            f"{shown(text)} is no name for a machine",
            hint="use letters, digits, '.', '_' and '-', such as mini-m4; others will see it",
        )
    return text


def checked_address(text: str) -> str:
    """A scheduler's address as ``tls://HOST:PORT``. Raises UsageError."""
    found = _ADDRESS.fullmatch(text.strip())
    hint = f"write it like 10.0.0.5 or tls://mini.local:{DEFAULT_PORT}"
    if found is None or not 0 < int(found["port"] or DEFAULT_PORT) < 1 << 16:
        raise UsageError(f"{shown(text)} is no address of a scheduler", hint=hint)
    if found["scheme"] not in {None, "tls"}:
        raise UsageError(
            f"a fleet uses TLS only, not {found['scheme']}: {text}",
            hint=f"tls://{found['host']}:{found['port'] or DEFAULT_PORT}",
        )
    if found["host"] in {"0.0.0.0", "[::]"}:  # noqa: S104 - refused
        raise UsageError(
            f"{text} is every address of this machine, and a scheduler listens on one", hint=hint
        )
    return f"tls://{found['host']}:{found['port'] or DEFAULT_PORT}"


# The package of a node: what is copied to its machine.


def write_package(path: Path, contents: dict[str, bytes]) -> None:
    """Write a node's files as a ZIP that this user alone can read, and that is not there yet.

    Raises:
        UsageError: there is such a file.
        StorageError: it cannot be written.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already", hint="remove it, or name another file with -o"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    with files.storage_errors(f"write {path}"), os.fdopen(handle, "wb") as out:
        out.write(stream.getvalue())


def package_of(settings: FleetSettings, name: str, certificate: bytes) -> dict[str, bytes]:
    """What a node's machine needs: settings, the authority's certificate, and its own."""
    with files.storage_errors(f"read {settings.authority}"):
        authority = settings.authority.read_bytes()
    return {
        _FILE: text_of(settings.scheduler, name).encode(),
        "ca.pem": authority,
        f"{Part.NODE}.pem": certificate,
    }


def install_package(path: Path, folder: Path | None = None) -> FleetSettings:
    """Make this machine the node that a package is for.

    Raises:
        UsageError: it is no such package, or this machine belongs to another fleet.
        StorageError: a file cannot be written.
    """
    folder = folder or default_folder()
    contents = _read_package(path)
    settings = _parsed(contents.pop(_FILE).decode("utf-8", "replace"), folder, path)
    if (folder / _FILE).exists() and (
        not settings.authority.is_file()
        or settings.authority.read_bytes() != contents["ca.pem"]
        or settings.authority_key.exists()
    ):
        raise UsageError(
            f"this machine belongs to another fleet: {folder}",
            hint="remove that folder first, if it is not needed any more",
        )
    with files.storage_errors(f"create {folder}"):
        files.private_folder(folder)
    for name, content in contents.items():
        files.write_bytes(folder / name, content)
    save(settings)
    return settings


def _read_package(path: Path) -> dict[str, bytes]:
    expected = {_FILE, "ca.pem", f"{Part.NODE}.pem"}
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
            if {each.filename for each in found} != expected or len(found) != len(expected):
                raise UsageError(
                    f"{path} is no package of a node",
                    hint="speedtest fleet init --node NAME writes one",
                )
            contents = {}
            for each in found:
                with archive.open(each) as stream:
                    contents[each.filename] = stream.read(_LARGEST_BYTES)
            return contents
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UsageError(
            f"cannot read {path}: {error}", hint="speedtest fleet init --node NAME writes one"
        ) from error
