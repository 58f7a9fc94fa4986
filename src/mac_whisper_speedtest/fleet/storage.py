"""Where bundles are stored, and the outbox in which a node keeps them until they are.

A bundle is named by its job, its attempt and its own SHA-256, so that the same name is always the
same bytes, and writing it twice changes nothing. In storage it is whole or absent: a folder gets a
temporary file that is synced and renamed, a bucket one request, or one of several parts that counts
once the last has come. What was written is read back and hashed.

Credentials are the machine's own: environment variables and files that the store's library reads.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from mac_whisper_speedtest import files, limits
from mac_whisper_speedtest.bundle.container import LARGEST_FILE
from mac_whisper_speedtest.errors import SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.fleet import job
from mac_whisper_speedtest.fleet.job import Delivery, Ending, NodeAnswer
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.privacy import scrub

_NAME = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,6})\.([0-9a-f]{64})\.zip")
_STORES = {"s3": "fleet-s3", "gs": "", "az": "", "memory": "fleet"}
"""Protocol → the extra of this package that has its library; ``memory`` is for tests."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"max_attempts": 3},
        }
    }
}
_BLOCK = 1 << 20


class BundleName(NamedTuple):
    """The name of a bundle in storage."""

    id: str
    attempt: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.id}.{self.attempt}.{self.sha256}.zip"


def parse_name(text: str) -> BundleName | None:
    """What the name of a bundle says, or None for any other name."""
    found = _NAME.fullmatch(text)
    return BundleName(found[1], int(found[2]), found[3]) if found else None


class Storage:
    """A folder that all machines share, or a bucket.

    Args:
        address: the absolute path of a folder, or such as ``s3://bucket/folder``.

    Attributes:
        folder: the same as a path; None of a bucket.

    Raises:
        UsageError: it is no such address, or has a password in it.
        StorageError: there is no such folder here, or the store's library is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") or address
        protocol = _protocol(address)
        self.folder = Path(address.removeprefix("file://")) if protocol == "file" else None
        if self.folder is None:
            self._remote, self._root = _opened(protocol, self.address)
        elif not self.folder.is_dir():
            raise StorageError(
                f"there is no folder {address} on this machine",
                hint="mount or create it: the same folder on every machine of the fleet",
            )

    def put(self, path: Path, name: BundleName) -> str:
        """Store the file ``path``, and return its address. Nothing is done if it is there.

        Raises:
            StorageError: it could not be stored whole.
        """
        address = f"{self.address}/{name}"
        with self._errors(f"store a bundle in {self.address}"):
            if self.folder is not None:
                self._put_into_folder(self.folder / str(name), path, name)
            elif not self._remote.exists(f"{self._root}/{name}"):
                self._remote.put_file(str(path), f"{self._root}/{name}")
            with self._open(name) as stream:
                there = hashlib.file_digest(stream, "sha256").hexdigest()
        if there != name.sha256:
            raise StorageError(
                f"{address} is not what was written: its SHA-256 is {there}",
                hint="check that storage, and remove the file from it",
            )
        return address

    def names(self, prefix: str = "") -> list[BundleName]:
        """The bundles whose names begin with ``prefix``, sorted; anything else is left out.

        Raises:
            StorageError: the storage cannot be read.
        """
        with self._errors(f"list {self.address}"):
            if self.folder is not None:
                listed = [each.name for each in self.folder.iterdir()]
            else:
                listed = [each.rpartition("/")[2] for each in self._listed()]
        found = (parse_name(each) for each in listed if each.startswith(prefix))
        return sorted(each for each in found if each is not None)

    def fetch(self, name: BundleName, into: Path) -> Path:
        """Copy a bundle into a folder, whole and with the hash of its name; return its path.

        Raises:
            StorageError: it cannot be read, or is not what its name says.
        """
        target = into / str(name)
        with files.replacing(target) as out, self._errors(f"fetch {self.address}/{name}"):
            with self._open(name) as stream:
                found = _copy(stream, out, LARGEST_FILE)
            if found != name.sha256:
                raise StorageError(
                    f"{self.address}/{name} is damaged: its SHA-256 is {found}",
                    hint="remove it, and measure that job again with another --campaign",
                )
        return target

    def _put_into_folder(self, target: Path, path: Path, name: BundleName) -> None:
        if target.exists() and files.sha256_file(target) == name.sha256:
            return
        # Of this node's own processes that were killed: nothing else writes this name.
        for left in target.parent.glob(f".{glob.escape(target.name)}.*"):
            left.unlink(missing_ok=True)
        with path.open("rb") as stream, files.replacing(target) as out:
            shutil.copyfileobj(stream, out)

    def _open(self, name: BundleName) -> Any:
        if self.folder is not None:
            return (self.folder / str(name)).open("rb")
        return self._remote.open(f"{self._root}/{name}", "rb")

    def _listed(self) -> list[str]:
        try:
            return list(self._remote.ls(self._root, detail=False))
        except FileNotFoundError:
            bucket = self._root.partition("/")[0]
            if self._remote.exists(bucket or self._root):
                return []  # a bucket has no empty folders
            raise

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Every error of a store's library, which has its own kinds, as a StorageError."""
        try:
            yield
        except SpeedtestError:
            raise
        except Exception as error:
            if self.folder is not None and not isinstance(error, OSError):
                raise
            strerror = getattr(error, "strerror", None)
            why = scrub(str(strerror or error) or type(error).__name__)
            raise StorageError(
                f"cannot {doing}: {why}",
                hint=files.CHECK_FOLDER
                if self.folder is not None
                else "check the address, this machine's credentials for it, and the network",
            ) from error


def _protocol(address: str) -> str:
    """The protocol of an address, ``file`` for a folder. Raises UsageError."""
    parts = urlsplit(address)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"the address of {parts.scheme}://… has a user, a password or a query in it",
            hint="put credentials where the store's library finds them, on every machine",
        )
    if "://" not in address or parts.scheme == "file":
        if not Path(address.removeprefix("file://")).is_absolute():
            raise UsageError(f"{shown(address)} is not an absolute path of a folder")
        return "file"
    if parts.scheme not in _STORES or "::" in address or not parts.netloc:
        raise UsageError(
            f"bundles cannot be stored at {shown(address)}",
            hint="give a folder that all machines share, or s3://BUCKET/FOLDER",
        )
    return parts.scheme


def _opened(protocol: str, address: str) -> tuple[Any, str]:
    """A file system of fsspec, and the folder in it."""
    try:
        import fsspec

        found: tuple[Any, str] = fsspec.core.url_to_fs(
            address,
            skip_instance_cache=protocol != "memory",
            use_listings_cache=False,
            **_OPTIONS.get(protocol, {}),
        )
        return found
    except ImportError as error:
        extra = _STORES[protocol]
        raise StorageError(
            f"the library for {protocol}:// is not installed here: {error}",
            hint=f"python -m pip install 'mac-whisper-speedtest[{extra}]'" if extra else "",
        ) from error


def _copy(stream: IO[bytes], out: IO[bytes], most: int) -> str:
    """Copy at most so many bytes; return their SHA-256."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > most:
            raise StorageError(f"a bundle has at most {most} bytes, and this has more")
        digest.update(block)
        out.write(block)
    return digest.hexdigest()


# The outbox of a node: for each attempt that began, its delivery; and its bundle, once it is whole.


class Outbox:
    """What this node has measured and not handed in.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = files.private_folder(folder)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other processes out: one measures, or hands in. A wait does not wake up."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            files.claim_handle(handle, wait=True)
            yield
        finally:
            os.close(handle)

    def begin(self, delivery: Delivery) -> Path:
        """Record what is measured now, and return the path of its bundle. Raises StorageError."""
        stem = f"{delivery.job.id}.{delivery.attempt}"
        files.write_bytes(self.folder / f"{stem}.json", job.encode(delivery).encode())
        return self.folder / f"{stem}.zip"

    def waiting(self) -> list[Path]:
        """The bundles that are here."""
        return sorted(self.folder.glob("[0-9a-f]*.zip"))

    def hand_in(self) -> Iterator[NodeAnswer]:
        """Store every bundle, and forget those that are stored and attempts that have none.

        Call it while it is claimed. Yields how each went: `Ending.DONE` or `Ending.NOT_STORED`.
        """
        for path in self.waiting():
            answer = _handed_in(path)
            if answer.ending is Ending.DONE:
                path.unlink()
            yield answer
        for record in self.folder.glob("[0-9a-f]*.json"):
            if not record.with_suffix(".zip").exists():
                record.unlink()


def _handed_in(path: Path) -> NodeAnswer:
    sha256 = files.sha256_file(path)
    id_, _, attempt = path.stem.partition(".")
    answer = NodeAnswer(
        id=id_, attempt=int(attempt), ending=Ending.NOT_STORED, bundle_sha256=sha256
    )
    try:
        delivery = job.decode_delivery(path.with_suffix(".json").read_text("utf-8"))
        name = BundleName(delivery.job.id, delivery.attempt, sha256)
        address = Storage(delivery.job.to).put(path, name)
    except (OSError, ValueError, SpeedtestError) as error:
        return msgspec.structs.replace(answer, reason=reason_of(error))
    return msgspec.structs.replace(answer, ending=Ending.DONE, address=address)


def reason_of(error: Exception) -> str:
    """An error as the reason in an answer: one line without secrets."""
    text = str(error) or type(error).__name__
    hint = f" ({error.hint})" if isinstance(error, SpeedtestError) and error.hint else ""
    return " ".join(scrub(f"{text}{hint}").split())[: limits.LONGEST_MESSAGE]
