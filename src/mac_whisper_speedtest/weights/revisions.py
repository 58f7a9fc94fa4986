"""The hub's file listings of commits, stored in the tool's cache at the first pull.

A commit never changes, so its listing pins its files: sizes, and the SHA-256 of large files or the
SHA-1 of the git blob of small ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.catalog import COMMIT
from mac_whisper_speedtest.errors import DownloadError

_SCHEMA_VERSION = 1
_LONGEST_PART = 255  # bytes: what file systems allow for one name


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository.

    Attributes:
        name: its path in the repository.
        size: in bytes.
        sha256: of its bytes, in lower-case hexadecimal; the hub states it for large files only.
        blob_id: SHA-1 of its git blob; the hub states it for small files only.
    """

    name: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True, slots=True)
class CommitListing:
    """Everything that a repository holds at one commit.

    Attributes:
        repository: ``org/name``.
        revision: the commit.
        files: all of them; `snapshot.select_files` takes those that are needed.
        custom: requested by repository and commit, not by a name of the catalog.
    """

    repository: str
    revision: str
    files: tuple[HubFile, ...]
    custom: bool = False


def cached_listing(repository: str, revision: str) -> CommitListing | None:
    """The stored listing of that commit; ``None`` if there is none, or it cannot be read."""
    try:
        read = json.loads(_path(repository, revision).read_bytes())
        return CommitListing(
            repository=read["repository"],
            revision=read["revision"],
            files=tuple(HubFile(**file) for file in read["files"]),
            custom=read["custom"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the hub is then asked again


def store_listing(found: CommitListing) -> None:
    """Store a commit's listing in place of an earlier one.

    Raises:
        StorageError: the tool's cache cannot be written.
    """
    content = {"schema_version": _SCHEMA_VERSION, **asdict(found)}
    text = json.dumps(content, indent=1) + "\n"
    files.write_bytes(_path(found.repository, found.revision), text.encode())


def discard_listing(repository: str, revision: str) -> None:
    """Remove the stored listing of that commit. Raises OSError."""
    _path(repository, revision).unlink(missing_ok=True)


def recorded_commits() -> list[tuple[str, str]]:
    """Repository and commit of every stored listing, readable or not, in order of names."""
    found = []
    for path in sorted(listings_folder().glob("*@*.json")):
        name, _, revision = path.stem.rpartition("@")
        if COMMIT.fullmatch(revision):
            # Neither the hub's names nor this tool's have "--" of their own.
            found.append((name.replace("--", "/", 1), revision))
    return found


def custom_listings() -> list[CommitListing]:
    """The repositories outside the catalog that were pulled here, in order of names."""
    read = [(key, cached_listing(*key)) for key in recorded_commits()]
    return [
        found
        for key, found in read
        if found is not None and found.custom and (found.repository, found.revision) == key
    ]


def lock_path(repository: str, revision: str) -> Path:
    """The lock file that a pull of this revision holds."""
    return _path(repository, revision).with_suffix(".lock")


def parse_listing(repository: str, body: Any, *, custom: bool = False) -> CommitListing:
    """The listing in the hub's description of a repository.

    Raises:
        DownloadError: it is not such an answer, or names a file that would be outside its folder.
    """
    try:
        files = tuple(_file(sibling) for sibling in body["siblings"])
        revision = str(body["sha"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(repository, f"{type(error).__name__} {error}") from error
    if not COMMIT.fullmatch(revision):
        raise _unreadable(repository, f"{revision[:60]!r} is not a commit")
    for file in files:
        if not stays_inside(file.name):
            raise DownloadError(
                f"{repository} lists the file {file.name!r}, which would be outside its folder; "
                "nothing was fetched",
                hint="do not use this repository",
            )
    return CommitListing(repository, revision, files, custom)


def stays_inside(name: str) -> bool:
    """Whether ``name``, a path from a server, can only be below the folder it is put into."""
    if not name.isprintable() or "\\" in name:
        return False
    parts = name.split("/")
    return all(
        part not in {"", ".", ".."} and len(part.encode()) <= _LONGEST_PART for part in parts
    )


def _unreadable(repository: str, why: str) -> DownloadError:
    return DownloadError(
        f"the hub's list of the files of {repository} cannot be read: {why}",
        hint="check HF_ENDPOINT, if it is set",
    )


def _file(sibling: Mapping[str, Any]) -> HubFile:
    large = sibling.get("lfs") or {}
    return HubFile(
        name=str(sibling["rfilename"]),
        size=int(large.get("size", sibling["size"])),
        sha256=large.get("sha256"),
        # For a large file the git blob is only the pointer.
        blob_id=None if large else sibling.get("blobId"),
    )


def listings_folder() -> Path:
    """The folder of the listings and of the locks of pulls."""
    return paths.cache_dir() / "listings"


def _path(repository: str, revision: str) -> Path:
    return listings_folder() / f"{repository.replace('/', '--')}@{revision}.json"
