"""Fetch one recording from a web address into a temporary file.

The host's name is resolved here, all its addresses are checked (`address`), and the connection goes
to a checked one: a second lookup could give another one.

The standard library's HTTP client is used because it can connect to a checked address while the
certificate is verified for the name. No proxy is used, because a proxy would resolve the name.
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

from mac_whisper_speedtest.audio.address import (
    FetchPolicy,
    WebAddress,
    checked_numbers,
    parse_address,
    short_text,
)
from mac_whisper_speedtest.audio.recording import display_name
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError
from mac_whisper_speedtest.http_errors import refuse_offline
from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
from mac_whisper_speedtest.version import __version__

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BLOCK: Final = 1 << 16
_SNIFFED_BYTES: Final = 512
"""Bytes at the beginning of a file by which text is distinguished from audio."""

_AGAIN: Final = "try again later, or download it in another way and use the file: --audio FILE"


class _Connection(http.client.HTTPConnection):
    """A connection to a numeric address, with the certificate and headers of the host's name."""

    def __init__(self, address: WebAddress, number: str, policy: FetchPolicy) -> None:
        super().__init__(address.host, address.port, timeout=policy.connect_s)
        self._address = address
        self._number = number
        self._policy = policy
        self._socket: socket.socket

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
        self._socket = plain

    def cut(self) -> None:
        """End the transfer from another thread; the reader of the body gets an end of file."""
        # If the server closes after its answer, the connection has already closed the socket.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def fetched_file(url: str, policy: FetchPolicy) -> Iterator[Path]:
    """Yield the recording at ``url`` in a file that is removed when the block ends.

    Args:
        url: its address; redirects are followed, and each is checked like the first address.
        policy: the limits.

    Raises:
        UsageError: the address is malformed or not allowed.
        DownloadError: the fetch failed, a redirect is not allowed, or the body is too large,
            endless or text.
        StorageError: the disk is full.
    """
    address = parse_address(url, policy)
    refuse_offline(address.name, ("SPEEDTEST_OFFLINE",))
    with as_keyboard_interrupt():
        handle, name = tempfile.mkstemp(prefix="speedtest-", suffix=".audio")
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                _fetch(address, policy, stream)
            yield path
        finally:
            path.unlink(missing_ok=True)


def _fetch(address: WebAddress, policy: FetchPolicy, stream: IO[bytes]) -> None:
    deadline = time.monotonic() + policy.total_s
    for _ in range(policy.max_redirects + 1):
        location = _request_once(address, policy, stream, deadline)
        if location is None:
            return
        try:
            address = parse_address(address.joined(location), policy)
        except SpeedtestError as error:
            raise DownloadError(
                f"{address.host} redirects to an address that is not allowed: {error.message}",
                hint=_AGAIN,
            ) from error
    raise DownloadError(
        f"{address.host} redirects more than {policy.max_redirects} times", hint=_AGAIN
    )


def _request_once(
    address: WebAddress, policy: FetchPolicy, stream: IO[bytes], deadline: float
) -> str | None:
    """Send one request and write the body to ``stream``; return the target of a redirect."""
    connection = _connected(address, policy)
    late = threading.Event()

    def stop() -> None:  # also ends bodies that drip within the time-out of every read
        late.set()
        connection.cut()

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), stop)
    timer.daemon = True
    timer.start()
    try:
        # http.client adds Host, from the name that the connection was created with.
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
        if late.is_set():  # a cut connection can raise any of these
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


def _connected(address: WebAddress, policy: FetchPolicy) -> _Connection:
    numbers = checked_numbers(address, policy)
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
    raise AssertionError("checked_numbers returned no address")


def _check_answer(
    response: http.client.HTTPResponse, address: WebAddress, policy: FetchPolicy
) -> None:
    if response.status != 200:
        raise DownloadError(
            f"{address.host} answered {response.status} {display_name(response.reason)}",
            hint="check the address in a browser",
        )
    encoding = response.getheader("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise DownloadError(
            f"{address.host} sent it encoded as {display_name(encoding)}, which was not requested",
            hint=_AGAIN,
        )
    if any(name.lower().startswith("icy-") for name in response.headers):
        raise DownloadError(
            f"{address.host} sends a radio stream, which is endless",
            hint="record a piece of it and use the file: --audio FILE",
        )
    if response.length is not None and response.length > policy.max_bytes:
        raise _too_large(address, policy)


def _receive(
    response: http.client.HTTPResponse, address: WebAddress, policy: FetchPolicy, stream: IO[bytes]
) -> None:
    stated = response.length
    received = 0
    beginning = b""
    while block := response.read1(_BLOCK):
        received += len(block)
        if len(beginning) < _SNIFFED_BYTES:
            beginning += block
            if len(beginning) >= _SNIFFED_BYTES:
                _refuse_text(beginning, address)
        if received > policy.max_bytes:
            raise _too_large(address, policy)
        try:
            stream.write(block)
        except OSError as error:
            raise StorageError(
                f"cannot write to {tempfile.gettempdir()}: {error.strerror}",
                hint="make room there, or set TMPDIR to another folder",
            ) from error
    if stated is not None and received < stated:
        raise DownloadError(
            f"{address.host} sent {received} of {stated} bytes and ended the connection",
            hint=_AGAIN,
        )
    if not received:
        raise DownloadError(f"{address.host} sent nothing (0 bytes)", hint=_AGAIN)
    if received < _SNIFFED_BYTES:
        _refuse_text(beginning, address)


def _refuse_text(beginning: bytes, address: WebAddress) -> None:
    """Refuse a web page at once: the header of every audio container has non-text bytes."""
    text = beginning[:_SNIFFED_BYTES].decode("utf-8", errors="replace")
    # The cut may split a character of up to four bytes.
    if (
        all(letter.isprintable() or letter.isspace() for letter in text)
        and "\ufffd" not in text[:-4]
    ):
        raise DownloadError(
            f"{address.host} sent text, not a recording",
            hint="check the address in a browser: it may be a page about the recording",
        )


def _trust() -> ssl.SSLContext:
    """A context that trusts the system's certificates, else those of the certifi package."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context


def _too_large(address: WebAddress, policy: FetchPolicy) -> DownloadError:
    return DownloadError(
        f"{address.host} sends more than {policy.max_bytes / 1e6:g} MB, or endlessly",
        hint="use a shorter recording, or raise --max-download",
    )


def _too_slow(address: WebAddress, policy: FetchPolicy) -> DownloadError:
    return DownloadError(
        f"{address.host} was still sending after {policy.total_s:g} s: too slow, or endless",
        hint="download it in another way and use the file: --audio FILE",
    )


def _broken(error: Exception, address: WebAddress) -> DownloadError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return DownloadError(
            f"the certificate of {address.host} is not trusted: {error.verify_message}",
            hint="check the address; if your network uses its own certificate, set SSL_CERT_FILE",
        )
    if isinstance(error, TimeoutError):
        return DownloadError(f"{address.host} did not answer in time", hint=_AGAIN)
    return DownloadError(f"cannot fetch from {address.host}: {short_text(error)}", hint=_AGAIN)
