"""One recording from the web into a temporary file that is gone afterwards, whatever happens.

The standard library's HTTP client is used because the connection has to go to an address that was
checked (`addresses`), while the certificate is that of the name: the HTTP library that comes with
huggingface-hub cannot be told both, and is another one from release to release. No proxy is used:
it would resolve the name itself.
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

# Which addresses a recording may be fetched from. Pure, but for asking the resolver.
#
# An address from another person, or that a server redirects to, must not make this machine ask
# its own services, its router or its cloud's metadata service. So a name is resolved here, every
# address it stands for is checked, and the connection goes to an address that was checked: not to
# whatever the name stands for a moment later.


_PORTS: Final = {"https": 443, "http": 80}
_NAT64: Final = ipaddress.IPv6Network(
    "64:ff9b::/96"
)  # RFC 6052: an IPv4 address in the last 32 bits
_HINT: Final = "download it by other means and give the file: --audio FILE"


def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of ``host``, by the system's resolver.

    Raises:
        OSError: it has none, or no server answers.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be fetched, and how patiently. Times in seconds.

    Attributes:
        allow_http: also without encryption.
        max_bytes: largest body; the choice of what to fetch sets it.
        max_redirects: followed for one recording.
        connect_s: to get a connection.
        silence_s: without one byte.
        total_s: for all of it, redirects included.
        trusted: names of hosts whose addresses are not checked; none but in tests.
        resolve: finds the addresses of a name.
    """

    allow_http: bool = False
    max_bytes: int = sys.maxsize
    max_redirects: int = 5
    connect_s: float = 10.0
    silence_s: float = 30.0
    total_s: float = 900.0
    trusted: frozenset[str] = frozenset()
    resolve: Callable[[str, int], list[str]] = resolve


STRICT: Final = Policy()


@dataclass(frozen=True, slots=True)
class Address:
    """A web address, taken apart; it never holds a login.

    Attributes:
        scheme: ``https`` or ``http``.
        host: a name or a number, in ASCII, without brackets.
        port: its port.
        target: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def name(self) -> str:
        """The last part of the path, without the query; the host where there is none."""
        return display_name(unquote(PurePosixPath(urlsplit(self.target).path).name) or self.host)

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def joined(self, location: str) -> str:
        """Where a redirect from here leads."""
        return urljoin(f"{self.scheme}://{self.authority}{self.target}", location)


def parse(url: str, policy: Policy) -> Address:
    """Take an address apart.

    Raises:
        UsageError: it is not one, has a login in it, or is not encrypted and has to be.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = parts.port
    except ValueError as error:  # also what the codec raises
        raise UsageError(f"the address is not one: {_first(error)}", hint=_HINT) from error
    if parts.scheme not in _PORTS:
        raise UsageError(
            f"recordings are fetched over https, not {parts.scheme or 'nothing'}", hint=_HINT
        )
    if not host:
        raise UsageError(f"the address {parts.scheme}:// names no host", hint=_HINT)
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"the address at {host} has a login in it; none is sent", hint=_HINT)
    if parts.scheme == "http" and not policy.allow_http:
        raise UsageError(
            f"{host} is to be asked without encryption (http)",
            hint="write https:// if the host has it, or add --allow-http",
        )
    path = quote(parts.path or "/", safe="/%~!$&'()*+,;=:@")
    query = f"?{quote(parts.query, safe='/%~!$&()*+,;=:@?')}" if parts.query else ""
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], path + query)


def checked(address: Address, policy: Policy) -> list[str]:
    """The numeric addresses behind ``address``, all of which may be connected to.

    Raises:
        DownloadError: it cannot be found, or one of them is not on the public internet.
    """
    try:
        numbers = policy.resolve(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise DownloadError(
            f"cannot find {address.host}: {_first(error)}", hint="check the address and the network"
        ) from error
    if not numbers:
        raise DownloadError(f"cannot find {address.host}", hint="check the address")
    if address.host not in policy.trusted:
        for number in numbers:
            if not is_public(number):
                raise DownloadError(
                    f"{address.host} leads to {number}, which is not on the public internet",
                    hint=_HINT,
                )
    return numbers


def is_public(number: str) -> bool:
    """Whether a numeric address is one of the public internet.

    Not so are loopback, private, shared, link-local, multicast, documentation, reserved and
    unspecified ones (IANA's special-purpose registries, as the standard library knows them), nor
    IPv6 addresses that stand for such an IPv4 one.
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
    return address.is_global and not address.is_multicast and not address.is_reserved


def _first(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return display_name(text.splitlines()[0] if text else type(error).__name__)


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
    refuse_offline(address.name, ("SPEEDTEST_OFFLINE",))
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
            f"{address.host} answered {response.status} {display_name(response.reason)}",
            hint="check the address in a browser",
        )
    encoding = response.getheader("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise DownloadError(
            f"{address.host} sent it encoded as {display_name(encoding)}, which was not asked for",
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
    return DownloadError(f"cannot fetch from {address.host}: {display_name(reason)}", hint=_AGAIN)
