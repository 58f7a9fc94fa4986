"""The hub's file listings of commits, stored in the tool's cache at the first pull.

A commit never changes, so its listing pins its files: sizes, and the SHA-256 of large files or the
SHA-1 of the git blob of small ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mac_whisper_speedtest import files, limits, paths
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
    size: Annotated[int, msgspec.Meta(ge=0, le=limits.LARGEST_BYTES)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    blob_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")] | None = None


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


class _StoredLarge(msgspec.Struct, frozen=True):
    """A file in the hub's store of large files."""

    size: int | None = None
    sha256: str | None = None


class _Sibling(msgspec.Struct, frozen=True):
    """A file in the hub's description of a repository."""

    rfilename: str
    size: int | None = None
    lfs: _StoredLarge | None = None
    blob_id: str | None = msgspec.field(default=None, name="blobId")


class _Description(msgspec.Struct, frozen=True):
    """The hub's description of a repository, as far as it is used."""

    sha: str
    siblings: tuple[_Sibling, ...]


def cached_listing(repository: str, revision: str) -> CommitListing | None:
    """The stored listing of that commit; ``None`` if there is none, or it cannot be read."""
    try:
        found = files.decode_json(_path(repository, revision).read_bytes(), CommitListing)
    except (OSError, ValueError):
        return None  # the hub is then asked again
    return found if all(stays_inside(file.name) for file in found.files) else None


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
        described = msgspec.convert(body, _Description)
        files = msgspec.convert(
            [_file(sibling) for sibling in described.siblings], tuple[HubFile, ...]
        )
    except msgspec.ValidationError as error:
        raise _unreadable(repository, str(error)) from error
    if not COMMIT.fullmatch(described.sha):
        raise _unreadable(repository, f"{described.sha[:60]!r} is not a commit")
    for file in files:
        if not stays_inside(file.name):
            raise DownloadError(
                f"{repository} lists the file {file.name!r}, which would be outside its folder; "
                "nothing was fetched",
                hint="do not use this repository",
            )
    return CommitListing(repository, described.sha, files, custom)


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


def _file(sibling: _Sibling) -> dict[str, Any]:
    large = sibling.lfs or _StoredLarge()
    return {
        "name": sibling.rfilename,
        "size": sibling.size if large.size is None else large.size,
        "sha256": large.sha256,
        # For a large file the git blob is only the pointer.
        "blob_id": None if sibling.lfs else sibling.blob_id,
    }


def listings_folder() -> Path:
    """The folder of the listings and of the locks of pulls."""
    return paths.cache_dir() / "listings"


def _path(repository: str, revision: str) -> Path:
    return listings_folder() / f"{repository.replace('/', '--')}@{revision}.json"
