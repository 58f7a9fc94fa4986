"""Downloading a file whose size and hash are known beforehand; what broke off is gone on with.

It is for datasets that the user named, from hosts that this program or the user's settings name, so
proxies apply, and what arrives is judged by its hash. (What somebody else's address leads to is
`web`'s business; models have their own way, which knows the hub's cache.)
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import DownloadError, StorageError
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.version import __version__

_BLOCK: Final = 1 << 18
_NOT_NOW: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others a little later (RFC 9110, RFC 6585)."""
_LATER: Final = "run it again later: what is here already is kept, and resumed from"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file on a server.

    Attributes:
        url: where it is.
        path: where it shall lie.
        bytes: its size.
        sha256: its hash; empty where only the next is known.
        git_sha1: git's name of its content; empty where the hash is known.
        headers: to send to that host, and to none it redirects to.
    """

    url: str
    path: Path
    bytes: int
    sha256: str = ""
    git_sha1: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The server's name, without a login or a port."""
        return urlsplit(self.url).hostname or "the server"

    @property
    def partial(self) -> Path:
        """Where it lies until it is whole."""
        return self.path.with_name(f"{self.path.name}.part")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long a download goes on in the face of trouble. Times in seconds.

    Attributes:
        failures: in a row without a byte of progress, after which it is given up.
        first_s: before the second try; doubled for each further one.
        silence_s: without one byte.
        slowest_bytes_per_s: over ``window_s``; below it the connection is given up for a new one.
        window_s: see there.
        sleep: waits.
    """

    failures: int = 5
    first_s: float = 1.0
    silence_s: float = 30.0
    slowest_bytes_per_s: float = 10_000.0
    window_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep


PATIENT: Final = Waiting()


class _BrokenError(Exception):
    """A transfer that ended early, and can be gone on with."""


def is_whole(wanted: Wanted) -> bool:
    """Whether the file is here and is what is wanted. Reads all of it."""
    try:
        return wanted.path.stat().st_size == wanted.bytes and _is_right(wanted.path, wanted)
    except OSError:
        return False


def download_resumably(
    wanted: Wanted, *, announce: Callable[[str], None], waiting: Waiting = PATIENT
) -> None:
    """Have the file at its path, whole; go on with what an earlier call left.

    Args:
        wanted: which.
        announce: told of every failure after which it is tried again.
        waiting: how patiently.

    Raises:
        DownloadError: it cannot be had, or what is served is something else.
        StorageError: it cannot be written.
    """
    import filelock

    if is_whole(wanted):
        return
    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(wanted.path.with_name(f"{wanted.path.name}.lock")):
            if not is_whole(wanted):
                _insist(wanted, announce, waiting)
    except OSError as error:
        raise StorageError(
            f"cannot write {wanted.path}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def _insist(wanted: Wanted, announce: Callable[[str], None], waiting: Waiting) -> None:
    failures = 0
    while True:
        before = _size(wanted.partial)
        try:
            _receive(wanted, waiting)
        except _BrokenError as error:
            failures = 1 if _size(wanted.partial) > before else failures + 1
            if failures >= waiting.failures:
                raise DownloadError(
                    f"gave up on {wanted.path.name} from {wanted.host}: {error}", hint=_LATER
                ) from error
            wait = waiting.first_s * 2 ** (failures - 1)
            announce(f"{wanted.path.name}: {error}; going on in {wait:g} s")
            waiting.sleep(wait)
        else:
            break
    if not _is_right(wanted.partial, wanted):
        wanted.partial.unlink()
        raise DownloadError(
            f"what {wanted.host} serves as {wanted.path.name} is not what is expected: it has "
            "another hash; it was removed",
            hint="a proxy or mirror may alter it; try again on another network",
        )
    with wanted.partial.open("rb") as stream:
        os.fsync(stream.fileno())
    wanted.partial.replace(wanted.path)
    files.fsync_dir(wanted.path.parent)


def _receive(wanted: Wanted, waiting: Waiting) -> None:
    """Add to the partial file until it has the file's size."""
    here = _size(wanted.partial)
    if here > wanted.bytes:
        wanted.partial.unlink()
        here = 0
    if here == wanted.bytes:
        wanted.partial.touch()
        return
    request = urllib.request.Request(wanted.url)  # noqa: S310 - the hosts are ours or the user's
    request.add_header("User-Agent", f"mac-whisper-speedtest/{__version__}")
    request.add_header("Accept-Encoding", "identity")
    if here:
        request.add_header("Range", f"bytes={here}-")
    for name, value in wanted.headers.items():
        request.add_unredirected_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=waiting.silence_s) as response:  # noqa: S310
            if here and response.status != 206:
                here = 0  # all of it comes again
            elif here and not str(response.headers["Content-Range"]).startswith(f"bytes {here}-"):
                wanted.partial.unlink()
                raise _BrokenError("the server went on at another place than was asked for")
            with wanted.partial.open("ab" if here else "wb") as stream:
                _copy(response, stream, wanted.bytes - here, waiting)
    except urllib.error.HTTPError as error:
        error.close()
        _refused(error, wanted)
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _BrokenError(scrub(f"the connection failed ({words})")) from error
    if _size(wanted.partial) < wanted.bytes:
        raise _BrokenError("the connection was cut")


def _copy(response: IO[bytes], stream: IO[bytes], missing: int, waiting: Waiting) -> None:
    since, fresh = time.monotonic(), 0
    while missing > 0 and (block := response.read1(min(_BLOCK, missing))):  # type: ignore[attr-defined]
        stream.write(block)
        missing -= len(block)
        fresh += len(block)
        waited = time.monotonic() - since
        if waited >= waiting.window_s:
            if fresh < waiting.slowest_bytes_per_s * waited:
                raise _BrokenError(f"only {fresh / waited / 1000:.1f} kB/s")
            since, fresh = time.monotonic(), 0


def _refused(error: urllib.error.HTTPError, wanted: Wanted) -> None:
    """Say whether an answer that was no success may be another one later."""
    if error.code == 416:
        wanted.partial.unlink(missing_ok=True)
        raise _BrokenError("the server cannot go on where it broke off") from error
    if error.code in _NOT_NOW:
        raise _BrokenError(f"{wanted.host} answered {error.code}") from error
    hints = {
        401: "set HF_TOKEN, or run: hf auth login",
        403: "accept its conditions on its page, and use a token that may read it",
    }
    raise DownloadError(
        f"{wanted.host} answered {error.code} for {wanted.path.name}",
        hint=hints.get(error.code, "check the name of the dataset and its revision"),
    ) from error


def _is_right(path: Path, wanted: Wanted) -> bool:
    if wanted.sha256:
        return files.sha256_file(path) == wanted.sha256
    content = path.read_bytes()  # git's names are used for small files only
    named = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return named.hexdigest() == wanted.git_sha1


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# May something be downloaded? Only what the user asked for, and never where it is forbidden.


def refuse_unless_allowed(what: str, size: int | None, *, allow_download: bool) -> None:
    """Stop before a download that was not asked for.

    Args:
        what: would be downloaded.
        size: its bytes; None while not known.
        allow_download: whether the user asked for it.

    Raises:
        DownloadError: it may not be.
    """
    refuse_offline(what)
    if not allow_download:
        megabytes = f" ({size / 1e6:.0f} MB)" if size is not None else ""
        raise DownloadError(
            f"{what} is not on this machine, and would have to be downloaded{megabytes}",
            hint="add --download to fetch it; it is kept, and is not asked for again",
        )


def refuse_offline(what: str) -> None:
    """Stop where the environment forbids all downloads.

    Raises:
        DownloadError: it does.
    """
    if os.environ.get("SPEEDTEST_OFFLINE", "") not in {"", "0"}:
        raise DownloadError(
            f"{what} is not on this machine, and SPEEDTEST_OFFLINE forbids fetching it",
            hint="unset SPEEDTEST_OFFLINE for this one command",
        )
