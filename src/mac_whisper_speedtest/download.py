"""Downloading files whose size and hash are known: with retries, resumed, verified.

Weights go through here into the Hugging Face cache (`weights.transfer`), datasets into the tool's
own. An address that a person gives is fetched by `audio.url`, which checks where it leads; wheels
are fetched by pip (`wheels`), from the index and through the proxies of its own settings.

The HTTP client is huggingface-hub's, for plain servers too: it is required anyway, and knows
proxies, certificates and the user's token.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

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

_LARGEST_LISTING: Final = 200_000_000
"""Bytes of the hub's list of a repository's files: some 300 for each file."""

PROGRESS_BYTES: Final = 1_000_000
"""A try that brought so many bytes before it broke does not count as a failure."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a download goes on in the face of trouble. Times in seconds.

    Attributes:
        failures: in a row, after which it is given up.
        first_wait_s: before the second try; doubled for each further one.
        longest_wait_s: that it is doubled to.
        longest_asked_s: the longest wait that a server's Retry-After can impose.
        connect_s: to get a connection.
        silence_s: without one byte.
        slowest_bytes_per_s: over ``window_s`` on average; below it the connection is dropped and
            the file resumed on a new one.
        window_s: see there.
        sleep: waits.
        jitter: a number in [0, 1), so that many machines do not come back in the same moment.
    """

    failures: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 30.0
    longest_asked_s: float = 120.0
    connect_s: float = 10.0
    silence_s: float = 30.0
    slowest_bytes_per_s: float = 10_000.0
    window_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait_s(self, failures: int, asked_s: float | None) -> float:
        """How long to wait after so many failures: as asked, else half to all of the doubled."""
        if asked_s is not None:
            return min(asked_s, self.longest_asked_s)
        # The exponent is bounded for the float's sake; the result is bounded long before.
        doubled = self.first_wait_s * 2.0 ** min(failures - 1, 60)
        return min(self.longest_wait_s, doubled) * (0.5 + self.jitter() / 2)

    @property
    def timeouts_s(self) -> tuple[float, float, float, float]:
        """For connecting, reading, writing, and getting a connection out of the pool."""
        return self.connect_s, self.silence_s, self.silence_s, self.connect_s


DEFAULT_POLICY: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class DownloadSource:
    """Where files are fetched from, and how failures are handled.

    Attributes:
        context: the server, or the repository at a revision.
        notify: receives a line for every failure that is retried.
        policy: for failing requests.
    """

    context: RequestContext
    notify: Callable[[str], None]
    policy: RetryPolicy = DEFAULT_POLICY

    def request(self, name: str) -> RequestContext:
        """The request for the file ``name``; for the repository itself where that is empty."""
        return replace(self.context, name=name)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on a server.

    Attributes:
        name: its path on the server, below the address or the repository.
        path: where it is put.
        size: in bytes.
        sha256: of its content, in lower-case hexadecimal.
        git_sha1: git's name of its content, used where the SHA-256 is not known.
    """

    name: str
    path: Path
    size: int
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def partial(self) -> Path:
        """Where it is until it is whole."""
        return self.path.with_name(f"{self.path.name}.incomplete")


def holds(path: Path, size: int, sha256: str | None, git_sha1: str | None) -> bool:
    """Whether ``path`` has that size and hash; reads all of it. Without a hash nothing has it."""
    try:
        if path.stat().st_size != size:
            return False
        if sha256:
            return files.sha256_file(path) == sha256
        return bool(git_sha1) and files.git_sha1(path) == git_sha1
    except OSError:
        return False


def is_whole(file: RemoteFile) -> bool:
    """Whether the file is at its path and is the right one."""
    return holds(file.path, file.size, file.sha256, file.git_sha1)


def hub_endpoint(given: str = "") -> str:
    """The hub's address: as given, else ``HF_ENDPOINT`` as it is now, else the public one.

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
    """Who asks: this tool, and for a hub with the user's token where there is one."""
    if not context.repository:
        return {"User-Agent": f"mac-whisper-speedtest/{__version__}"}
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


def refuse_unless_allowed(what: str, size: int | None, *, allow_download: bool) -> None:
    """Stop before a download that was not asked for, or that the environment forbids.

    Args:
        what: would be downloaded.
        size: its bytes; None while not known.
        allow_download: whether the user asked for it.

    Raises:
        DownloadError: it may not be.
    """
    refuse_offline(what)
    if not allow_download:
        stated = f" ({megabytes(size)})" if size is not None else ""
        raise DownloadError(
            f"{what} is not on this machine, and would have to be downloaded{stated}",
            hint="add --download to fetch it; it is kept, and is not asked for again",
        )


def with_retries(
    act: Callable[[], Result],
    source: DownloadSource,
    name: str = "",
    *,
    so_far: Callable[[], int] = lambda: 0,
) -> Result:
    """Do it until it is done, it cannot succeed, or it failed too often in a row.

    Args:
        act: one try.
        source: what it is for, and the policy.
        name: the file it is for; empty for the repository itself.
        so_far: counts the bytes received; a failure after `PROGRESS_BYTES` of them is the first of
            a new row.

    Raises:
        DownloadError, StorageError: it was given up; in words for people.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # The base of all errors of the HTTP library that this release of huggingface-hub is built on.
    http_error = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    request, policy = source.request(name), source.policy
    failures = 0
    while True:
        before = so_far()
        try:
            return act()
        except (http_error, OSError, BrokenTransferError) as error:  # type: ignore[misc]
            failures = 1 if so_far() - before >= PROGRESS_BYTES else failures + 1
            if not transient(error) or failures >= policy.failures:
                raise to_user_error(error, request) from error
            now = datetime.datetime.now(datetime.UTC)
            wait = policy.wait_s(failures, retry_after_s(error, now))
            source.notify(
                f"{name or request.repository}: {short_reason(error, request)}; trying again in "
                f"{wait:.0f} s ({failures} of {policy.failures - 1})"
            )
        policy.sleep(wait)


def ask_hub(source: DownloadSource) -> Any:
    """The hub's description of the repository at its revision, with its files.

    Returns:
        What JSON makes of the answer; ``None`` where it is not JSON, or endless.

    Raises:
        DownloadError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # loaded on demand
        hf_raise_for_status,
    )

    context = source.context
    revision = quote(context.revision, safe="")
    url = f"{context.endpoint}/api/{context.kind}/{context.repository}/revision/{revision}"

    def ask() -> Any:
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
                    return None
        try:
            return json.loads(body)
        except ValueError:
            return None  # a page of something that is no hub

    return with_retries(ask, source)


def ensure_file(file: RemoteFile, source: DownloadSource) -> None:
    """Have the file at its path, whole; of two processes, one downloads it.

    Raises:
        DownloadError: it cannot be had, or what is served is not what is pinned.
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
    """Download ``file`` to its path, verified; what an earlier call left is resumed.

    What is served wrong is asked for once more. The caller holds a lock on the path.

    Args:
        file: with its size and hash.
        source: where it is.
        on_progress: receives how many bytes of the file are here, whenever that changes; fewer
            than before when what was here had to be discarded.

    Returns:
        The bytes that were received by this call.

    Raises:
        DownloadError: it could not be had, or is not what is pinned; nothing wrong is left then.
        StorageError: it cannot be written.
    """
    received = 0

    def count(bytes_here: int, fresh: int) -> None:
        nonlocal received
        received += fresh
        on_progress(bytes_here)

    for last in (False, True):
        with_retries(
            lambda: _receive(file, source, count), source, file.name, so_far=lambda: received
        )
        if holds(file.partial, file.size, file.sha256, file.git_sha1):
            with file.partial.open("rb") as stream:
                os.fsync(stream.fileno())
            file.partial.replace(file.path)
            files.fsync_dir(file.path.parent)
            return received
        file.partial.unlink(missing_ok=True)
        if not last:
            source.notify(f"{file.name} is not what is pinned; fetching it once more")
    context = source.context
    where = f"{file.name} of {context.repository}" if context.repository else file.name
    raise DownloadError(
        f"what {context.host} serves as {where} is not what is pinned: it has another hash, "
        "twice; it was removed",
        hint="a proxy or mirror may alter it: check HF_ENDPOINT and the proxy settings",
    )


def _receive(
    file: RemoteFile, source: DownloadSource, on_progress: Callable[[int, int], None]
) -> None:
    """Add to the partial file until it has the file's size.

    Raises:
        BrokenTransferError: it stopped before that; what is there can be resumed.
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
    # A compressed body could be neither resumed nor counted.
    headers = {**request_headers(source.context), "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    # Redirects are followed again each time, because the addresses of the hub's stores expire; the
    # session takes the token off when they lead to another host.
    with get_session().stream(
        "GET",
        source.request(file.name).url,
        headers=headers,
        follow_redirects=True,
        timeout=source.policy.timeouts_s,
    ) as response:
        if response.status_code == 416:
            partial.unlink(missing_ok=True)
            raise BrokenTransferError("the server cannot resume where it broke off")
        hf_raise_for_status(response)
        if here and response.status_code != 206:
            here = 0  # the whole body comes again
        elif here and not response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            partial.unlink()
            raise BrokenTransferError("the server resumed at another place than was asked for")
        rate = _MinimumRate(source.policy)
        with partial.open("ab" if here else "wb") as stream:
            for block in response.iter_bytes():
                fresh = min(len(block), file.size - here)
                stream.write(block[:fresh])
                here += fresh
                on_progress(here, fresh)
                if fresh < len(block):
                    break  # longer than pinned: the hash will tell
                rate.check(fresh)
    if here < file.size:
        raise BrokenTransferError("the connection was cut")


class _MinimumRate:
    """Raises when bytes come too slowly to be worth waiting for."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._since = time.monotonic()
        self._bytes = 0

    def check(self, fresh: int) -> None:
        self._bytes += fresh
        waited = time.monotonic() - self._since
        if waited < self._policy.window_s:
            return
        if self._bytes < self._policy.slowest_bytes_per_s * waited:
            rate = self._bytes / waited / 1000
            raise BrokenTransferError(f"only {rate:.1f} kB/s for {waited:.0f} s")
        self._since += waited
        self._bytes = 0
