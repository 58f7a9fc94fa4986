"""What a Hugging Face hub reports of a repository at a revision: its commit and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from mac_whisper_speedtest import files, limits
from mac_whisper_speedtest.download import DownloadSource, request_headers, with_retries
from mac_whisper_speedtest.errors import DownloadError

_LARGEST_LISTING: Final = 200_000_000
"""Largest accepted list of a repository's files in bytes: about 300 for each file."""
_LONGEST_PART: Final = 255  # bytes: what file systems allow for one name

Size = Annotated[int, msgspec.Meta(ge=0, le=limits.LARGEST_BYTES)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Sha1 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository.

    Attributes:
        name: its path in the repository.
        size: in bytes.
        sha256: of its bytes, in lower-case hexadecimal; the hub states it for large files only.
        git_sha1: of its git blob; the hub states it for small files only.
    """

    name: str
    size: Size
    sha256: Sha256 | None = None
    git_sha1: Sha1 | None = None


class _LargeFile(msgspec.Struct, frozen=True):
    """A file in the hub's store of large files."""

    size: Size | None = None
    sha256: Sha256 | None = None


class _Sibling(msgspec.Struct, frozen=True):
    """A file in the hub's answer."""

    rfilename: str
    size: Size | None = None
    lfs: _LargeFile | None = None
    git_sha1: Sha1 | None = msgspec.field(default=None, name="blobId")

    def file(self) -> HubFile | None:
        large = self.lfs or _LargeFile()
        size = self.size if large.size is None else large.size
        # For a large file the git blob is only the pointer.
        git_sha1 = None if self.lfs else self.git_sha1
        return None if size is None else HubFile(self.rfilename, size, large.sha256, git_sha1)


class _Answer(msgspec.Struct, frozen=True):
    sha: Sha1
    siblings: tuple[_Sibling, ...]


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files of a repository.

    Attributes:
        commit: which the revision is at.
        files: the files with a size reported by the hub.
        complete: these are all.
    """

    commit: str
    files: tuple[HubFile, ...]
    complete: bool = True


def list_files(source: DownloadSource) -> HubListing:
    """The commit and files of the repository at its revision.

    Raises:
        DownloadError: the hub cannot be reached, refuses, or does not answer as a hub does.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        hf_raise_for_status,
    )

    context = source.context
    revision = quote(context.revision, safe="")
    url = f"{context.endpoint}/api/{context.kind}/{context.repository}/revision/{revision}"

    def query() -> HubListing:
        body = bytearray()
        with get_session().stream(
            "GET",
            url,
            params={"blobs": "true"},
            headers=request_headers(context),
            follow_redirects=True,
            timeout=source.policy.timeouts_s,
        ) as response:
            hf_raise_for_status(response)
            for block in response.iter_bytes():
                body += block
                if len(body) > _LARGEST_LISTING:
                    raise _unreadable(context.repository, f"it is larger than {_LARGEST_LISTING}")
        return parse_listing(context.repository, bytes(body))

    return with_retries(query, source)


def parse_listing(repository: str, body: bytes) -> HubListing:
    """The listing in a hub's answer.

    Raises:
        DownloadError: it is not such an answer.
    """
    try:
        answer = files.decode_json(body, _Answer)
    except ValueError as error:  # also a page of some other server
        raise _unreadable(repository, str(error)) from error
    found = [sibling.file() for sibling in answer.siblings]
    known = tuple(file for file in found if file is not None)
    return HubListing(answer.sha, known, complete=len(known) == len(found))


def _unreadable(repository: str, why: str) -> DownloadError:
    return DownloadError(
        f"the hub's list of the files of {repository} cannot be read: {why}",
        hint="check HF_ENDPOINT, if it is set",
    )


def stays_inside(name: str) -> bool:
    """Whether ``name``, a path from a server, can only be below the folder it is put into."""
    if not name.isprintable() or "\\" in name:
        return False
    parts = name.split("/")
    return all(
        part not in {"", ".", ".."} and len(part.encode()) <= _LONGEST_PART for part in parts
    )
