"""Keeps workers offline: always by variables, and by guarded sockets while weights are checked.

Standard library only, because the backend's interpreter imports it. Unix sockets and the address of
the tool's listener (`isolation`) stay allowed.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Set for every worker: libraries must not download anything while they are measured."""

LOG_VARIABLE = "SPEEDTEST_NETWORK_LOG"
"""The file for refused attempts, one host per line. If it is set, the network is blocked."""
PROXY_VARIABLE = "SPEEDTEST_NETWORK_PROXY"
"""``host:port`` of the only allowed address."""


class NetworkRefusedError(ConnectionRefusedError):
    """The network was refused because weights are only being checked."""


def block_network_if_requested() -> None:
    """Block the network for the rest of the process if `LOG_VARIABLE` is set."""
    log = os.environ.get(LOG_VARIABLE)
    if not log:
        return
    proxy = os.environ.get(PROXY_VARIABLE, "")

    def refuse(host: str) -> NetworkRefusedError:
        line = host.replace("\n", " ")[:200] + "\n"
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode("utf-8", "replace"))
        finally:
            os.close(handle)
        return NetworkRefusedError(
            errno.ECONNREFUSED, f"the network is blocked during a check (requested: {host})"
        )

    def check(family: int, address: Any) -> None:
        if family not in {socket.AF_INET, socket.AF_INET6}:
            return
        host, port = str(address[0]), address[1]
        if f"{host}:{port}" != proxy:
            raise refuse(f"{host}:{port}")

    def guarded(name: str, address_of: Callable[..., Any]) -> None:
        original = getattr(socket.socket, name)

        def call(self: socket.socket, *arguments: Any) -> Any:
            address = address_of(*arguments)
            if address is not None:
                check(self.family, address)
            return original(self, *arguments)

        setattr(socket.socket, name, call)

    guarded("connect", lambda address: address)
    guarded("connect_ex", lambda address: address)
    guarded("sendto", lambda *arguments: arguments[-1])
    guarded("sendmsg", lambda *arguments: arguments[3] if len(arguments) > 3 else None)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        _guard_names(socket, name, refuse)


def _guard_names(module: Any, name: str, refuse: Callable[[str], NetworkRefusedError]) -> None:
    """Refuse name lookups that need a name server."""
    original = getattr(module, name)

    def call(host: Any, *arguments: Any, **named: Any) -> Any:
        text = host.decode("utf-8", "replace") if isinstance(host, bytes) else host
        if text is None or _is_local(text):
            return original(host, *arguments, **named)
        raise module.gaierror(module.EAI_FAIL, str(refuse(text)))

    setattr(module, name, call)


def _is_local(host: str) -> bool:
    """Whether a name is local or already an address: neither needs a name server."""
    if host in {"", "localhost"}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
