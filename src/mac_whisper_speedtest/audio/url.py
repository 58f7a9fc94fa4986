"""One recording from the web into a temporary file that is gone afterwards, whatever happens.

The standard library's HTTP client is used because the connection has to go to an address that was
checked (`addresses`), while the certificate is that of the name: the HTTP library that comes with
huggingface-hub cannot be told both, and is another one from release to release. No proxy is used:
it would resolve the name itself.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from mac_whisper_speedtest.audio.addresses import Address, Policy, checked, parse
from mac_whisper_speedtest.audio.offline import refuse_offline
from mac_whisper_speedtest.audio.speech import presentable
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError
from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
from mac_whisper_speedtest.version import __version__

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BLOCK: Final = 1 << 16
_TELLING: Final = 512
"""Bytes at the beginning of a file that tell text from sound."""

_AGAIN: Final = "try again later, or download it by other means and give the file: --audio FILE"


class _Connection(http.client.HTTPConnection):
    """A connection to a numeric address for a host of another name."""

    def __init__(self, address: Address, number: str, policy: Policy) -> None:
        super().__init__(address.host, address.port, timeout=policy.connect_s)
        self._address = address
        self._number = number
        self._policy = policy
        self._wire: socket.socket

    def connect(self) -> None:
        plain = socket.create_connection((self._number, self.port), self._policy.connect_s)
        if self._address.scheme == "https":
            try:
                plain = _trust().wrap_socket(plain, server_hostname=self._address.host)
            except BaseException:
                plain.close()
                raise
        plain.settimeout(self._policy.silence_s)
        self.sock = plain
        self._wire = plain

    def cut(self) -> None:
        """End whatever is going on, from another thread; the body's reader sees an end."""
        # Where the server closes after its answer, the connection has let go of the socket by now.
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def fetched(url: str, policy: Policy) -> Iterator[tuple[Path, Address]]:
    """Yield the recording behind ``url`` in a file that is removed when the block ends.

    Args:
        url: where it is; redirects are followed, and each of them is checked like the first.
        policy: what is allowed.

    Yields:
        The file, and the address that was asked for.

    Raises:
        UsageError: it is no address, or not an allowed one.
        DownloadError: it cannot be had, is not allowed after a redirect, is too large, does not
            end, or is text.
        StorageError: there is no room for it.
    """
    address = parse(url, policy)
    refuse_offline(address.name)
    with as_keyboard_interrupt():
        handle, name = tempfile.mkstemp(prefix="speedtest-", suffix=".audio")
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                _fetch(address, policy, stream)
            yield path, address
        finally:
            path.unlink(missing_ok=True)


def _fetch(address: Address, policy: Policy, stream: IO[bytes]) -> None:
    deadline = time.monotonic() + policy.total_s
    for _ in range(policy.max_redirects + 1):
        location = _visit(address, policy, stream, deadline)
        if location is None:
            return
        try:
            address = parse(address.joined(location), policy)
        except SpeedtestError as error:
            raise DownloadError(
                f"{address.host} redirects to where nothing is fetched from: {error.message}",
                hint=_AGAIN,
            ) from error
    raise DownloadError(
        f"{address.host} redirects more than {policy.max_redirects} times", hint=_AGAIN
    )


def _visit(address: Address, policy: Policy, stream: IO[bytes], deadline: float) -> str | None:
    """Ask once. The body goes to ``stream``; a redirect's target is returned instead."""
    connection = _connected(address, policy)
    late = threading.Event()

    def stop() -> None:  # what drips slower than any time-out of a single read is ended as well
        late.set()
        connection.cut()

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), stop)
    timer.daemon = True
    timer.start()
    try:
        # http.client writes Host itself, from the name it was made for.
        connection.request(
            "GET",
            address.target,
            headers={
                "User-Agent": f"mac-whisper-speedtest/{__version__}",
                "Accept-Encoding": "identity",
            },
        )
        with connection.getresponse() as response:
            if response.status in _REDIRECTS and (location := response.getheader("Location")):
                return location
            _check_answer(response, address, policy)
            _receive(response, address, policy, stream)
    except (OSError, http.client.HTTPException, DownloadError) as error:
        if late.is_set():  # whatever a connection looks like that was cut
            raise _too_slow(address, policy) from error
        if isinstance(error, DownloadError):
            raise
        raise _broken(error, address) from error
    finally:
        timer.cancel()
        connection.close()
    if late.is_set():
        raise _too_slow(address, policy)
    return None


def _connected(address: Address, policy: Policy) -> _Connection:
    numbers = checked(address, policy)
    for number in numbers:
        connection = _Connection(address, number, policy)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            if number == numbers[-1] or isinstance(error, ssl.SSLCertVerificationError):
                raise _broken(error, address) from error
        else:
            return connection
    raise AssertionError("a name without addresses was let through")


def _check_answer(response: http.client.HTTPResponse, address: Address, policy: Policy) -> None:
    if response.status != 200:
        raise DownloadError(
            f"{address.host} answered {response.status} {presentable(response.reason)}",
            hint="check the address in a browser",
        )
    encoding = response.getheader("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise DownloadError(
            f"{address.host} sent it encoded as {presentable(encoding)}, which was not asked for",
            hint=_AGAIN,
        )
    if any(name.lower().startswith("icy-") for name in response.headers):
        raise DownloadError(
            f"{address.host} sends a radio stream, which has no end",
            hint="record a piece of it and give the file: --audio FILE",
        )
    if response.length is not None and response.length > policy.max_bytes:
        raise _too_large(address, policy)


def _receive(
    response: http.client.HTTPResponse, address: Address, policy: Policy, stream: IO[bytes]
) -> None:
    stated = response.length
    here = 0
    beginning = b""
    while block := response.read1(_BLOCK):
        here += len(block)
        if len(beginning) < _TELLING:
            beginning += block
            if len(beginning) >= _TELLING:
                _refuse_text(beginning, address)
        if here > policy.max_bytes:
            raise _too_large(address, policy)
        try:
            stream.write(block)
        except OSError as error:
            raise StorageError(
                f"cannot write to {tempfile.gettempdir()}: {error.strerror}",
                hint="make room there, or set TMPDIR to another folder",
            ) from error
    if stated is not None and here < stated:
        raise DownloadError(
            f"{address.host} sent {here} of {stated} bytes and ended the connection", hint=_AGAIN
        )
    if not here:
        raise DownloadError(f"{address.host} sent nothing (0 bytes)", hint=_AGAIN)
    if here < _TELLING:
        _refuse_text(beginning, address)


def _refuse_text(beginning: bytes, address: Address) -> None:
    """Give up at once on a page: every container of audio has other bytes in its header."""
    text = beginning[:_TELLING].decode("utf-8", errors="replace")
    # The cut may go through a character of up to four bytes.
    if (
        all(letter.isprintable() or letter.isspace() for letter in text)
        and "\ufffd" not in text[:-4]
    ):
        raise DownloadError(
            f"{address.host} sent text, not a recording",
            hint="check the address in a browser: it may be a page about the recording",
        )


def _trust() -> ssl.SSLContext:
    """The certificates that are trusted: the system's, else those of the certifi package."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context


def _too_large(address: Address, policy: Policy) -> DownloadError:
    return DownloadError(
        f"{address.host} sends more than {policy.max_bytes / 1e6:g} MB, or without end",
        hint="give a shorter recording, or raise --max-download",
    )


def _too_slow(address: Address, policy: Policy) -> DownloadError:
    return DownloadError(
        f"{address.host} was still sending after {policy.total_s:g} s: too slow, or without end",
        hint="download it by other means and give the file: --audio FILE",
    )


def _broken(error: Exception, address: Address) -> DownloadError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return DownloadError(
            f"the certificate of {address.host} is not trusted: {error.verify_message}",
            hint="check the address; for a network's own certificate set SSL_CERT_FILE",
        )
    if isinstance(error, TimeoutError):
        return DownloadError(f"{address.host} did not answer in time", hint=_AGAIN)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DownloadError(f"cannot fetch from {address.host}: {presentable(reason)}", hint=_AGAIN)
