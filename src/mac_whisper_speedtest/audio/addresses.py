"""Which addresses a recording may be fetched from. Pure, but for asking the resolver.

An address that somebody else wrote, or that a server redirects to, must not make this machine ask
its own services, its router or its cloud's metadata service. So a name is resolved here, every
address it stands for is checked, and the connection goes to an address that was checked: not to
whatever the name stands for a moment later.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from mac_whisper_speedtest.audio.speech import presentable
from mac_whisper_speedtest.errors import DownloadError, UsageError

_PORTS: Final = {"https": 443, "http": 80}
_NAT64: Final = ipaddress.IPv6Network(
    "64:ff9b::/96"
)  # RFC 6052: an IPv4 address in the last 32 bits
_HINT: Final = "download it by other means and give the file: --audio FILE"


def resolve(host: str, port: int) -> list[str]:
    """The numeric addresses of ``host``, by the system's resolver.

    Raises:
        OSError: it has none, or nobody answers.
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
        return presentable(unquote(PurePosixPath(urlsplit(self.target).path).name) or self.host)

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
    return presentable(text.splitlines()[0] if text else type(error).__name__)
