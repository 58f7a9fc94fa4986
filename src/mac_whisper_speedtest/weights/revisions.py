"""The hub's file listings of commits, stored in the tool's cache at the first pull.

A commit never changes, so its listing pins its files: sizes, and the SHA-256 of large files or the
SHA-1 of the git blob of small ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.catalog import COMMIT
from mac_whisper_speedtest.errors import DownloadError
from mac_whisper_speedtest.hub import HubFile, HubListing, stays_inside

_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class CommitListing:
    """The files of a repository at one commit.

    Attributes:
        repository: ``org/name``.
        revision: the commit.
        files: all files; `snapshot.select_files` selects the needed ones.
        custom: requested by repository and commit, not by a name of the catalog.
    """

    repository: str
    revision: str
    files: tuple[HubFile, ...]
    custom: bool = False


def cached_listing(repository: str, revision: str) -> CommitListing | None:
    """The stored listing of that commit; ``None`` if it is missing or unreadable."""
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
            # Neither the hub's names nor this tool's contain "--".
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


def commit_listing(repository: str, listed: HubListing, *, custom: bool = False) -> CommitListing:
    """The hub's listing of a commit, after checks.

    Raises:
        DownloadError: a size is unknown, or a file would be outside its folder.
    """
    if not listed.complete:
        raise DownloadError(
            f"the hub reports no size for some files of {repository}; nothing was fetched",
            hint="check HF_ENDPOINT, if it is set",
        )
    for file in listed.files:
        if not stays_inside(file.name):
            raise DownloadError(
                f"{repository} lists the file {file.name!r}, which would be outside its folder; "
                "nothing was fetched",
                hint="do not use this repository",
            )
    return CommitListing(repository, listed.commit, listed.files, custom)


def listings_folder() -> Path:
    """The folder of the listings and of the locks of pulls."""
    return paths.cache_dir() / "listings"


def _path(repository: str, revision: str) -> Path:
    return listings_folder() / f"{repository.replace('/', '--')}@{revision}.json"
