"""One file from the hub into the Hugging Face cache: resumed, watched, verified, then put in place.

huggingface-hub asks, signs in and reads the answers; the bytes are written here. Its own downloader
(``hf_hub_download`` of 2.4.0) starts every file from nothing, under a name that is never used
again, takes a wrong body of the right size for the file, and waits for ever on a server that
drips. Its Xet protocol cannot be resumed like this either, and was seen to stall, so every file
is asked for over plain HTTP, which the hub serves for all of them.

The layout is the library's own (`hub`), so that every library finds what is put there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mac_whisper_speedtest import download, files
from mac_whisper_speedtest.download import (
    BrokenTransferError,
    DownloadSource,
    RetryPolicy,
    with_retries,
)
from mac_whisper_speedtest.errors import DownloadError
from mac_whisper_speedtest.version import __version__
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.hashes import git_name
from mac_whisper_speedtest.weights.revisions import CommitListing, HubFile, from_listing

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_CONTENT_ADDRESS = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256_DIGITS = 64


def listing(source: DownloadSource, *, custom: bool = False) -> CommitListing:
    """What the repository holds at that revision, and which commit it is.

    Raises:
        DownloadError: the hub cannot be reached, refuses, or does not answer as a hub does.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        hf_raise_for_status,
    )

    path = f"{source.repository}/revision/{quote(source.revision, safe='')}"

    def ask() -> CommitListing:
        response = get_session().get(
            f"{source.endpoint}/api/models/{path}",
            params={"blobs": "true"},
            headers=_headers(),
            follow_redirects=True,
            timeout=source.patience.timeouts_s,
        )
        hf_raise_for_status(response)
        try:
            body = response.json()
        except ValueError:
            body = None  # a page of something that is no hub
        return from_listing(source.repository, body, custom=custom)

    return with_retries(ask, source)


def whole(path: Path, file: HubFile) -> bool:
    """Whether ``path`` holds exactly ``file``: size, and SHA-256 or git's name of the content."""
    try:
        return path.stat().st_size == file.size and _is_content_of(path, file)
    except OSError:
        return False


def partial_bytes(repository: str, file: HubFile) -> int:
    """How much of ``file`` an interrupted download left here to be resumed from."""
    blobs = hub_cache.repository_dir(repository) / "blobs"
    for address in filter(None, (file.sha256, file.blob_id)):
        with contextlib.suppress(OSError):
            if (size := (blobs / address).stat().st_size) == file.size:
                return size  # of another revision: it is only linked
        with contextlib.suppress(OSError):
            return min((blobs / f"{address}.incomplete").stat().st_size, file.size)
    return 0


def discard(path: Path, repository: str) -> bool:
    """Remove what lies in a snapshot at ``path`` and is no good, with the blob it is a link to.

    Returns:
        Whether there was anything.
    """
    if not path.is_symlink() and not path.exists():
        return False
    blob = path.resolve()
    if blob.parent == (hub_cache.repository_dir(repository) / "blobs").resolve():
        blob.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return True


def download_file(file: HubFile, source: DownloadSource, moved: Callable[[int], None]) -> int:
    """Put ``file`` into the cache's snapshot of the revision, verified; resume what is there.

    Args:
        file: what is wanted, with its size and content hash.
        source: where it is.
        moved: told how many bytes of it are here, whenever that changes; fewer than before when
            what was here is of no use.

    Returns:
        The bytes that were transferred just now.

    Raises:
        DownloadError: it could not be had, or what is served is not what is pinned; nothing wrong
            is left in the cache then.
        StorageError: the cache cannot be written.
    """
    import filelock

    repository = hub_cache.repository_dir(source.repository)
    address = with_retries(functools.partial(_address, file, source), source, file.name)
    # The library's own lock: other programs fetch into the same cache.
    lock = hub_cache.cache_dir() / ".locks" / repository.name / f"{address}.lock"
    blob = repository / "blobs" / address
    taken = 0
    try:
        for folder in (lock.parent, blob.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock):
            if not whole(blob, file):
                blob.unlink(missing_ok=True)
                taken = _fill(blob, file, source, moved)
            moved(file.size)
            _link(hub_cache.snapshot_dir(source.repository, source.revision) / file.name, blob)
    except OSError as error:
        raise download.to_user_error(error, source.asked(file.name)) from error
    return taken


def _address(file: HubFile, source: DownloadSource) -> str:
    """The hub's content address of ``file``, which names its blob; checked before any transfer."""
    from huggingface_hub import get_hf_file_metadata

    found: HfFileMetadata = get_hf_file_metadata(
        _url(file, source),
        headers=_headers(),
        timeout=source.patience.silence_s,
        endpoint=source.endpoint,
    )
    address = found.etag or ""
    if not _CONTENT_ADDRESS.fullmatch(address):
        raise DownloadError(
            f"{source.endpoint} does not say what {file.name} of {source.repository} holds",
            hint="check HF_ENDPOINT, if it is set: this address does not answer as a hub does",
        )
    known = file.sha256 if len(address) == _SHA256_DIGITS else file.blob_id
    other_commit = found.commit_hash not in {None, source.revision}
    other_size = found.size not in {None, file.size}
    if other_commit or other_size or known not in {None, address}:
        raise DownloadError(
            f"{file.name} of {source.repository} is not the pinned file on the hub: it has "
            f"{found.size} bytes and the address {address[:16]}…, pinned are {file.size} and "
            f"{(known or address)[:16]}…",
            hint="nothing was fetched; check HF_ENDPOINT, if it is set",
        )
    return address


def _fill(blob: Path, file: HubFile, source: DownloadSource, moved: Callable[[int], None]) -> int:
    """Make ``blob`` from what the hub serves; what it serves wrong is asked for once more."""
    partial = blob.with_name(f"{blob.name}.incomplete")
    taken = 0

    def keep_on(here: int, fresh: int) -> None:
        nonlocal taken
        taken += fresh
        moved(here)

    for last in (False, True):
        attempt = functools.partial(_receive, partial, file, source, keep_on)
        with_retries(attempt, source, file.name, so_far=lambda: taken)
        if whole(partial, file):
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.replace(blob)
            files.fsync_dir(blob.parent)
            return taken
        partial.unlink(missing_ok=True)
        if not last:
            source.announce(f"{file.name} is not what is pinned; fetching it once more")
    raise DownloadError(
        f"what the hub serves as {file.name} of {source.repository} is not what is pinned: it has "
        "another hash, twice; it was removed",
        hint="a proxy or mirror may alter it: check HF_ENDPOINT and the proxy settings",
    )


def _receive(
    partial: Path, file: HubFile, source: DownloadSource, moved: Callable[[int, int], None]
) -> None:
    """Add to ``partial`` until it has the file's size.

    Raises:
        BrokenTransferError: it stopped before that; what is there can be resumed from.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        hf_raise_for_status,
    )

    here = partial.stat().st_size if partial.exists() else 0
    if here > file.size:
        partial.unlink()
        here = 0
    moved(here, 0)
    if here == file.size and partial.exists():
        return
    # A compressed body could be neither resumed nor counted.
    headers = {**_headers(), "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    # Redirects are followed anew each time, because the addresses of the hub's stores expire; the
    # session takes the token off when they lead to another host.
    with get_session().stream(
        "GET",
        _url(file, source),
        headers=headers,
        follow_redirects=True,
        timeout=source.patience.timeouts_s,
    ) as response:
        if response.status_code == 416:
            partial.unlink(missing_ok=True)
            raise BrokenTransferError("the hub cannot go on where it broke off")
        hf_raise_for_status(response)
        if here and response.status_code != 206:
            here = 0  # the whole body comes again
        elif here and not response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            partial.unlink()
            raise BrokenTransferError("the hub went on at another place than was asked for")
        pace = _MinimumRate(source.patience)
        with partial.open("ab" if here else "wb") as stream:
            for block in response.iter_bytes():
                fresh = min(len(block), file.size - here)
                stream.write(block[:fresh])
                here += fresh
                moved(here, fresh)
                if fresh < len(block):
                    break  # longer than pinned: the hash will tell
                pace.check(fresh)
    if here < file.size:
        raise BrokenTransferError("the connection was cut")


class _MinimumRate:
    """Raises when bytes come too slowly to be worth waiting for."""

    def __init__(self, patience: RetryPolicy) -> None:
        self._patience = patience
        self._since = time.monotonic()
        self._bytes = 0

    def check(self, fresh: int) -> None:
        self._bytes += fresh
        waited = time.monotonic() - self._since
        if waited < self._patience.window_s:
            return
        if self._bytes < self._patience.slowest_bytes_per_s * waited:
            rate = self._bytes / waited / 1000
            raise BrokenTransferError(f"only {rate:.1f} kB/s for {waited:.0f} s")
        self._since += waited
        self._bytes = 0


def _link(link: Path, blob: Path) -> None:
    """Give the blob its name in the snapshot: a relative link, as the library makes it."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(os.path.relpath(blob, link.parent))
    except OSError:
        blob.replace(link)  # a disk without links (exFAT) has the file itself there
    files.fsync_dir(link.parent)


def _is_content_of(path: Path, file: HubFile) -> bool:
    if file.sha256 is not None:
        return files.sha256_file(path) == file.sha256
    if file.blob_id is None:
        return False  # nothing to tell it by
    return git_name(path) == file.blob_id


def _url(file: HubFile, source: DownloadSource) -> str:
    return f"{source.endpoint}/{source.repository}/resolve/{source.revision}/{quote(file.name)}"


def _headers() -> dict[str, str]:
    """Who asks: this tool, with the user's token where there is one."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        build_hf_headers,
    )

    # Or else the library asks the hub for a list of programs, looks whether one of them runs us,
    # and tells the hub.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    headers: dict[str, str] = build_hf_headers(
        library_name="mac-whisper-speedtest", library_version=__version__
    )
    return headers
