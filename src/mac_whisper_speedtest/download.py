"""Download files of known size and hash: with retries, resumed, verified.

Weights go into the Hugging Face cache (`weights.transfer`), datasets into the tool's own. Addresses
from a person are fetched by `audio.url`, which checks their target, and wheels by pip (`wheels`).
The HTTP client is huggingface-hub's, for plain servers too: it is required anyway and supports
proxies, certificates and the user's token.
"""

from __future__ import annotations

import datetime
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import DownloadError, UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.http_errors import (
    PUBLIC_HUB,
    BrokenTransferError,
    RequestContext,
    refuse_offline,
    retry_after_s,
    short_reason,
    to_user_error,
    transient,
)
from mac_whisper_speedtest.version import __version__

Result = TypeVar("Result")

PROGRESS_BYTES: Final = 1_000_000
"""After a try that received so many bytes, the count of failures in a row starts again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failing download is retried, and when it is given up.

    Attributes:
        failures: number in a row after which the download is given up.
        first_wait_s: before the second try; doubled for each further one.
        longest_wait_s: upper limit of the doubled wait.
        max_retry_after_s: the longest wait that a server's Retry-After can impose.
        connect_s: limit for connecting.
        silence_s: limit for waiting without receiving a byte.
        min_bytes_per_s: a connection with a lower average over ``window_s`` is replaced by a new
            one, which resumes the file.
        window_s: see ``min_bytes_per_s``.
        jitter: returns a number in [0, 1), so that machines do not retry at the same moment.
    """

    failures: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    max_retry_after_s: float = 120.0
    connect_s: float = 10.0
    silence_s: float = 30.0
    min_bytes_per_s: float = 10_000.0
    window_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait_s(self, failures: int, retry_after: float | None) -> float:
        """The wait after so many failures: as the server requests, else 50-100 % of the doubled."""
        if retry_after is not None:
            return min(retry_after, self.max_retry_after_s)
        # Bounded so that the float cannot overflow; the result reaches its limit long before.
        doubled = self.first_wait_s * 2.0 ** min(failures - 1, 60)
        return min(self.longest_wait_s, doubled) * (0.5 + self.jitter() / 2)

    @property
    def timeouts_s(self) -> tuple[float, float, float, float]:
        """Limits for connecting, reading, writing, and waiting for the connection pool."""
        return self.connect_s, self.silence_s, self.silence_s, self.connect_s


DEFAULT_POLICY: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class DownloadSource:
    """The server or repository of files, and how failures are handled.

    Attributes:
        context: the server, or the repository at a revision.
        notify: receives a line for every failure that is retried.
    """

    context: RequestContext
    notify: Callable[[str], None]
    policy: RetryPolicy = DEFAULT_POLICY

    def request(self, name: str) -> RequestContext:
        """The request for the file ``name``, or for the repository itself if it is empty."""
        return replace(self.context, name=name)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a server, with its pins.

    Attributes:
        name: its path on the server, below the address or the repository.
        path: its path on this machine.
        size: in bytes.
        sha256: of its content, in lower-case hexadecimal.
        git_sha1: the git hash of its content, used if the SHA-256 is unknown.
    """

    name: str
    path: Path
    size: int
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def partial(self) -> Path:
        """Its path until it is complete."""
        return self.path.with_name(f"{self.path.name}.incomplete")


def matches_pins(path: Path, size: int, sha256: str | None, git_sha1: str | None) -> bool:
    """Whether ``path`` has that size and hash (reads all of it); False if no hash is given."""
    try:
        if path.stat().st_size != size:
            return False
        if sha256:
            return files.sha256_file(path) == sha256
        return bool(git_sha1) and files.git_sha1(path) == git_sha1
    except OSError:
        return False


def is_whole(file: RemoteFile) -> bool:
    """Whether the file is at its path with the pinned size and hash."""
    return matches_pins(file.path, file.size, file.sha256, file.git_sha1)


def hub_endpoint(given: str = "") -> str:
    """The hub's address: as given, else the current ``HF_ENDPOINT``, else the public hub.

    Raises:
        UsageError: it is not an address.
    """
    endpoint = (given or os.environ.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")
    address = urlsplit(endpoint)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise UsageError(
            "HF_ENDPOINT is not an address that begins with https://",
            hint=f"unset it to use {PUBLIC_HUB}",
        )
    return endpoint


def request_headers(context: RequestContext) -> dict[str, str]:
    """This tool's name and, for a hub, the user's token if there is one."""
    if not context.repository:
        return {"User-Agent": f"mac-whisper-speedtest/{__version__}"}
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        build_hf_headers,
    )

    # Otherwise the library fetches a list of agent programs from the hub, checks whether one of
    # them runs this process, and reports it.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    headers: dict[str, str] = build_hf_headers(
        library_name="mac-whisper-speedtest", library_version=__version__
    )
    return headers


def refuse_unless_allowed(what: str, size: int | None, *, allow_download: bool) -> None:
    """Stop before a download that the user did not request or the environment forbids.

    Args:
        what: what would be downloaded.
        size: in bytes, if known.
        allow_download: whether the user requested it.

    Raises:
        DownloadError: it is not allowed.
    """
    refuse_offline(what)
    if not allow_download:
        stated = f" ({megabytes(size)})" if size is not None else ""
        raise DownloadError(
            f"{what} is not on this machine and must be downloaded{stated}",
            hint="add --download to fetch it once; it is kept",
        )


def with_retries(
    act: Callable[[], Result],
    source: DownloadSource,
    name: str = "",
    *,
    bytes_received: Callable[[], int] = lambda: 0,
) -> Result:
    """Call ``act`` until it succeeds, cannot succeed, or failed too often in a row.

    Args:
        act: one try.
        source: the server and the retry policy.
        name: the file; empty for the repository itself.
        bytes_received: returns the total received; after `PROGRESS_BYTES` more of them, the count
            of failures in a row starts again.

    Raises:
        DownloadError, StorageError: it was given up.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # The base class of all errors of the HTTP library that this huggingface-hub uses.
    http_error = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    request, policy = source.request(name), source.policy
    failures = 0
    while True:
        before = bytes_received()
        try:
            return act()
        except (http_error, OSError, BrokenTransferError) as error:  # type: ignore[misc]
            failures = 1 if bytes_received() - before >= PROGRESS_BYTES else failures + 1
            if not transient(error) or failures >= policy.failures:
                raise to_user_error(error, request) from error
            now = datetime.datetime.now(datetime.UTC)
            wait = policy.wait_s(failures, retry_after_s(error, now))
            source.notify(
                f"{name or request.repository}: {short_reason(error, request)}; retrying in "
                f"{wait:.0f} s ({failures} of {policy.failures - 1})"
            )
        policy.sleep(wait)


def ensure_file(file: RemoteFile, source: DownloadSource) -> None:
    """Download the file unless it is complete; another process that downloads it is waited for.

    Raises:
        DownloadError: the download failed, or the server's file is not the pinned one.
        StorageError: it cannot be written.
    """
    if is_whole(file):
        return
    try:
        with files.locked(file.path.with_name(f"{file.path.name}.lock")):
            if not is_whole(file):
                download_file(file, source)
    except OSError as error:
        raise to_user_error(error, source.request(file.name)) from error


def download_file(
    file: RemoteFile,
    source: DownloadSource,
    on_progress: Callable[[int], None] = lambda _bytes_here: None,
) -> int:
    """Download ``file`` to its path and verify it; an unfinished download is resumed.

    A file with a wrong hash is downloaded again, once. The caller must hold a lock on the path.

    Args:
        file: the file, with its size and hash.
        source: its server.
        on_progress: receives the number of bytes on this machine whenever it changes; it drops
            when received bytes had to be discarded.

    Returns:
        The bytes received by this call.

    Raises:
        DownloadError: the download failed, or the file is not the pinned one and was removed.
        StorageError: it cannot be written.
    """
    received = 0

    def count(bytes_here: int, fresh: int) -> None:
        nonlocal received
        received += fresh
        on_progress(bytes_here)

    for last in (False, True):
        with_retries(
            lambda: _receive(file, source, count),
            source,
            file.name,
            bytes_received=lambda: received,
        )
        if matches_pins(file.partial, file.size, file.sha256, file.git_sha1):
            with file.partial.open("rb") as stream:
                files.sync(stream.fileno())
            file.partial.replace(file.path)
            files.sync_folder(file.path.parent)
            return received
        file.partial.unlink(missing_ok=True)
        if not last:
            source.notify(f"{file.name} does not have the pinned hash; downloading it again")
    context = source.context
    where = f"{file.name} of {context.repository}" if context.repository else file.name
    raise DownloadError(
        f"{where} from {context.host} does not have the pinned hash, twice; it was removed",
        hint="a proxy or mirror may alter it: check HF_ENDPOINT and the proxy settings",
    )


def _receive(
    file: RemoteFile, source: DownloadSource, on_progress: Callable[[int, int], None]
) -> None:
    """Append to the partial file until it has the file's size.

    Raises:
        BrokenTransferError: the transfer stopped earlier; it can be resumed.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        hf_raise_for_status,
    )

    partial = file.partial
    here = partial.stat().st_size if partial.exists() else 0
    if here > file.size:
        partial.unlink()
        here = 0
    on_progress(here, 0)
    if here == file.size and partial.exists():
        return
    # A compressed body can be neither resumed nor counted.
    headers = {**request_headers(source.context), "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    # Every try follows the redirects, because the addresses of the hub's stores expire; the session
    # removes the token when a redirect leads to another host.
    with get_session().stream(
        "GET",
        source.request(file.name).url,
        headers=headers,
        follow_redirects=True,
        timeout=source.policy.timeouts_s,
    ) as response:
        if response.status_code == 416:
            partial.unlink(missing_ok=True)
            raise BrokenTransferError("the server cannot resume the file")
        hf_raise_for_status(response)
        if here and response.status_code != 206:
            here = 0  # the server sends the whole body
        elif here and not response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            partial.unlink()
            raise BrokenTransferError("the server resumed at another byte than requested")
        rate = _MinimumRate(source.policy)
        with partial.open("ab" if here else "wb") as stream:
            for block in response.iter_bytes():
                fresh = min(len(block), file.size - here)
                stream.write(block[:fresh])
                here += fresh
                on_progress(here, fresh)
                if fresh < len(block):
                    break  # longer than pinned: the hash will differ
                rate.check(fresh)
    if here < file.size:
        raise BrokenTransferError("the connection was cut")


class _MinimumRate:
    """Raises when a connection is slower than the policy allows."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._since = time.monotonic()
        self._bytes = 0

    def check(self, fresh: int) -> None:
        self._bytes += fresh
        waited = time.monotonic() - self._since
        if waited < self._policy.window_s:
            return
        if self._bytes < self._policy.min_bytes_per_s * waited:
            rate = self._bytes / waited / 1000
            raise BrokenTransferError(f"only {rate:.1f} kB/s for {waited:.0f} s")
        self._since += waited
        self._bytes = 0
