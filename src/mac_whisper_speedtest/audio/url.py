"""Fetch one recording from a web address into a temporary file, only from the public internet.

An address from another person, or a redirect, must not make this machine query its own services,
its router or its cloud's metadata service. So the host's name is resolved here, all its addresses
are checked, and the connection goes to a checked address: a second lookup could give another one.

The standard library's HTTP client is used because it can connect to a checked address while the
certificate is verified for the name. No proxy is used, because a proxy would resolve the name.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from mac_whisper_speedtest.audio.recording import display_name
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.http_errors import refuse_offline
from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
from mac_whisper_speedtest.version import __version__

_PORTS: Final = {"https": 443, "http": 80}
# RFC 6052: an IPv4 address in the last 32 bits.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "168.63.129.16/32",  # Azure's metadata service
        "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 is Oracle Cloud's metadata
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "64:ff9b:1::/48",  # IPv4 addresses behind a local translator (RFC 8215)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
    )
)
"""What the standard library counts as global, in some or all versions of Python since 3.11."""

_HINT: Final = "download it in another way and use the file: --audio FILE"


def resolve_host(host: str, port: int) -> list[str]:
    """The numeric addresses of ``host``, by the system's resolver.

    Raises:
        OSError: the name has no address, or no server answers.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits of a fetch.

    Attributes:
        allow_http: also fetch without encryption.
        max_bytes: largest body.
        max_redirects: for one recording.
        connect_s: limit for connecting.
        silence_s: limit for waiting without receiving a byte.
        total_s: limit for the whole fetch, redirects included.
        trusted: hosts whose addresses are not checked; only in tests.
        resolve: returns the numeric addresses of a host and port.
    """

    allow_http: bool = False
    max_bytes: int = sys.maxsize
    max_redirects: int = 5
    connect_s: float = 10.0
    silence_s: float = 30.0
    total_s: float = 900.0
    trusted: frozenset[str] = frozenset()
    resolve: Callable[[str, int], list[str]] = resolve_host


STRICT: Final = FetchPolicy()


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A parsed web address; it never contains a login.

    Attributes:
        scheme: ``https`` or ``http``.
        host: a name or a numeric address, in ASCII, without brackets.
        target: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def name(self) -> str:
        """The last part of the path, without the query; the host if the path is empty."""
        return display_name(unquote(PurePosixPath(urlsplit(self.target).path).name) or self.host)

    @property
    def authority(self) -> str:
        """Host and port as in the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def joined(self, location: str) -> str:
        """The target of a redirect to ``location``."""
        return urljoin(f"{self.scheme}://{self.authority}{self.target}", location)


def parse_address(url: str, policy: FetchPolicy) -> WebAddress:
    """Parse an address.

    Raises:
        UsageError: it is malformed, contains a login, or is not encrypted although it must be.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = parts.port
    except ValueError as error:  # also what the codec raises
        raise UsageError(f"the address is malformed: {_first_line(error)}", hint=_HINT) from error
    if parts.scheme not in _PORTS:
        raise UsageError(
            f"recordings are fetched over https, not {parts.scheme or 'nothing'}", hint=_HINT
        )
    if not host:
        raise UsageError(f"the address {parts.scheme}:// names no host", hint=_HINT)
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"the address at {host} contains a login, which is never sent", hint=_HINT)
    if parts.scheme == "http" and not policy.allow_http:
        raise UsageError(
            f"the address at {host} is not encrypted (http)",
            hint="use https:// if the host supports it, or add --allow-http",
        )
    path = quote(parts.path or "/", safe="/%~!$&'()*+,;=:@")
    query = f"?{quote(parts.query, safe='/%~!$&()*+,;=:@?')}" if parts.query else ""
    return WebAddress(parts.scheme, host, port or _PORTS[parts.scheme], path + query)


def checked_numbers(address: WebAddress, policy: FetchPolicy) -> list[str]:
    """The numeric addresses of the host, all of them on the public internet.

    Raises:
        DownloadError: the host cannot be found, or one of its addresses is not public.
    """
    try:
        numbers = policy.resolve(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise DownloadError(
            f"cannot find {address.host}: {_first_line(error)}",
            hint="check the address and the network",
        ) from error
    if not numbers:
        raise DownloadError(f"cannot find {address.host}", hint="check the address")
    if address.host not in policy.trusted:
        for number in numbers:
            if not is_public(number):
                raise DownloadError(
                    f"{address.host} resolves to {number}, which is not on the public internet",
                    hint=_HINT,
                )
    return numbers


def is_public(number: str) -> bool:
    """Whether a numeric address is on the public internet.

    Excluded are loopback, private, shared, link-local, multicast, documentation, reserved and
    unspecified ones (IANA's special-purpose registries, as the standard library knows them),
    those of ``_NOT_PUBLIC``, and IPv6 addresses that contain such an IPv4 address.
    """
    try:
        address = ipaddress.ip_address(number)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None or address.is_site_local:
            return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _first_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return display_name(text.splitlines()[0] if text else type(error).__name__)


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
        # If the server closes after its answer, the connection has closed the socket by now.
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
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DownloadError(f"cannot fetch from {address.host}: {display_name(reason)}", hint=_AGAIN)
