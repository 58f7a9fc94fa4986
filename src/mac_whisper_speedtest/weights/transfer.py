"""Download of one hub file into the Hugging Face cache: resumed, verified, then put in place.

huggingface-hub signs requests and parses answers; `download` writes the bytes. The library's own
downloader (``hf_hub_download`` of 2.4.0) cannot resume a file, because every attempt uses a new
name. It accepts a wrong body of the right size, and waits forever for a server that sends a few
bytes at a time. Its Xet protocol cannot be resumed either and was seen to stall. Every file is
therefore requested over plain HTTP, which the hub always supports.

The layout is the library's (`hub_cache`), so that every library finds the files.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mac_whisper_speedtest import files
from mac_whisper_speedtest.download import (
    DownloadSource,
    RemoteFile,
    download_file,
    matches_pins,
    request_headers,
    with_retries,
)
from mac_whisper_speedtest.errors import DownloadError
from mac_whisper_speedtest.http_errors import to_user_error
from mac_whisper_speedtest.hub import HubFile, list_files
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.revisions import CommitListing, commit_listing

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_CONTENT_ADDRESS = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256_DIGITS = 64


def listing(source: DownloadSource, *, custom: bool = False) -> CommitListing:
    """The files of the repository at that revision, and its commit.

    Raises:
        DownloadError: the hub cannot be reached, refuses, or gives an invalid answer.
    """
    return commit_listing(source.context.repository, list_files(source), custom=custom)


def whole(path: Path, file: HubFile) -> bool:
    """Whether ``path`` holds exactly ``file``: size, and SHA-256 or git's name of the content."""
    return matches_pins(path, file.size, file.sha256, file.git_sha1)


def partial_bytes(repository: str, file: HubFile) -> int:
    """The bytes of ``file`` that an interrupted download left for resuming."""
    blobs = hub_cache.repository_dir(repository) / "blobs"
    for address in filter(None, (file.sha256, file.git_sha1)):
        with contextlib.suppress(OSError):
            if (size := (blobs / address).stat().st_size) == file.size:
                return size  # of another revision: it is only linked
        with contextlib.suppress(OSError):
            return min((blobs / f"{address}.incomplete").stat().st_size, file.size)
    return 0


def discard(path: Path, repository: str) -> bool:
    """Remove a damaged file of a snapshot, with the blob that it links to.

    Returns:
        Whether there was such a file.
    """
    if not path.is_symlink() and not path.exists():
        return False
    blob = path.resolve()
    if blob.parent == (hub_cache.repository_dir(repository) / "blobs").resolve():
        blob.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return True


def download_to_cache(
    file: HubFile, source: DownloadSource, on_progress: Callable[[int], None]
) -> int:
    """Put ``file`` into the cache's snapshot of the revision, verified; resume a partial file.

    Args:
        file: with its size and content hash.
        source: where it is.
        on_progress: receives the number of its local bytes after every change; fewer than before
            if the partial file had to be discarded.

    Returns:
        The bytes received by this call.

    Raises:
        DownloadError: the download failed, or the served file is not the pinned one; the cache then
            has no wrong file.
        StorageError: the cache cannot be written.
    """
    context = source.request(file.name)
    repository = hub_cache.repository_dir(context.repository)
    address = with_retries(functools.partial(_address, file, source), source, file.name)
    # The library's own lock: other programs fetch into the same cache.
    lock = hub_cache.cache_dir() / ".locks" / repository.name / f"{address}.lock"
    blob = RemoteFile(
        file.name, repository / "blobs" / address, file.size, file.sha256, file.git_sha1
    )
    received = 0
    try:
        blob.path.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(lock):
            if not whole(blob.path, file):
                blob.path.unlink(missing_ok=True)
                received = download_file(blob, source, on_progress)
            on_progress(file.size)
            _link(hub_cache.snapshot_dir(context.repository, context.revision), blob)
    except OSError as error:
        raise to_user_error(error, context) from error
    return received


def _address(file: HubFile, source: DownloadSource) -> str:
    """The hub's content address of ``file``, which names its blob; checked before any transfer."""
    from huggingface_hub import get_hf_file_metadata

    context = source.request(file.name)
    found: HfFileMetadata = get_hf_file_metadata(
        context.url,
        headers=request_headers(context),
        timeout=source.policy.silence_s,
        endpoint=context.endpoint,
    )
    address = found.etag or ""
    if not _CONTENT_ADDRESS.fullmatch(address):
        raise DownloadError(
            f"{context.endpoint} reports no hash for {file.name} of {context.repository}",
            hint="check HF_ENDPOINT, if it is set: this address does not answer as a hub does",
        )
    known = file.sha256 if len(address) == _SHA256_DIGITS else file.git_sha1
    other_commit = found.commit_hash not in {None, context.revision}
    other_size = found.size not in {None, file.size}
    if other_commit or other_size or known not in {None, address}:
        raise DownloadError(
            f"{file.name} of {context.repository} is not the pinned file on the hub: it has "
            f"{found.size} bytes and the address {address[:16]}…, pinned are {file.size} and "
            f"{(known or address)[:16]}…",
            hint="nothing was fetched; check HF_ENDPOINT, if it is set",
        )
    return address


def _link(snapshot: Path, blob: RemoteFile) -> None:
    """Give the blob its name in the snapshot: a relative link, as the library makes it."""
    link = snapshot / blob.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(os.path.relpath(blob.path, link.parent))
    except OSError:
        blob.path.replace(link)  # a disk without links (exFAT) has the file itself there
    files.sync_folder(link.parent)
