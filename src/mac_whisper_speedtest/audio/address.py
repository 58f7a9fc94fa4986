"""Web addresses that a recording may be fetched from: encrypted, and on the public internet only.

An address from another person, or a redirect, must not make this machine query its own services,
its router or its cloud's metadata service.
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

from mac_whisper_speedtest.audio.recording import display_name
from mac_whisper_speedtest.errors import DownloadError, UsageError

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
        raise UsageError(f"the address is malformed: {short_text(error)}", hint=_HINT) from error
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
    """The numeric addresses of the host, all on the public internet.

    Raises:
        DownloadError: the host cannot be found, or one of its addresses is not public.
    """
    try:
        numbers = policy.resolve(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise DownloadError(
            f"cannot find {address.host}: {short_text(error)}",
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

    Not public: loopback, private, shared, link-local, multicast, documentation, reserved and
    unspecified addresses (IANA's special-purpose registries, as in the standard library); the
    addresses in ``_NOT_PUBLIC``; and IPv6 addresses that contain such an IPv4 address.
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


def short_text(error: Exception) -> str:
    """An error's message, in one printable line."""
    text = getattr(error, "strerror", None) or str(error)
    return display_name(text.splitlines()[0] if text else type(error).__name__)
