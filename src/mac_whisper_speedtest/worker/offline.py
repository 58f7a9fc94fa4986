"""Keeps workers off the network: variables for all of them, a block while weights are checked.

The block has three layers: variables that ask libraries to stay offline; a guard on Python's own
sockets and name lookups, installed in the backend's interpreter (standard library only); and proxy
variables for native code, which bypasses both. They lead to a listener that records the requested
host and refuses. Sockets of the local file system and the listener's address stay allowed.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOG_VARIABLE = "SPEEDTEST_NETWORK_LOG"
"""The file that refused attempts are appended to, one host a line. Set: the network is refused."""
PROXY_VARIABLE = "SPEEDTEST_NETWORK_PROXY"
"""``host:port`` of the one address that may be connected to."""


class NetworkRefusedError(ConnectionRefusedError):
    """The network was refused because weights are only being checked."""


def block_network_if_requested() -> None:
    """Block the network for good if `LOG_VARIABLE` is set."""
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
            errno.ECONNREFUSED, f"the network is refused during a check (requested: {host})"
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
    """Refuse name lookups too, unless the answer is known here."""
    original = getattr(module, name)

    def call(host: Any, *arguments: Any, **named: Any) -> Any:
        text = host.decode("utf-8", "replace") if isinstance(host, bytes) else host
        if text is None or _is_local(text):
            return original(host, *arguments, **named)
        raise module.gaierror(module.EAI_FAIL, str(refuse(text)))

    setattr(module, name, call)


def _is_local(host: str) -> bool:
    """Whether a name is this machine's or already an address: both need no name server."""
    if host in {"", "localhost"}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# The tool's side: the environment of a worker, and the hosts it requested.

_MAX_HOSTS = 20
_REQUEST_BYTES = 4096
_REQUEST_TIMEOUT_S = 2.0

OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Set for every worker, so that libraries download nothing while they are measured."""

_ALSO_OFFLINE: Mapping[str, str] = {
    "HF_HUB_DISABLE_XET": "1",
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "WANDB_MODE": "offline",
}


@dataclass(frozen=True, slots=True)
class RefusedNetwork:
    """Variables for a worker's environment, and the file in which attempts are recorded."""

    environment: Mapping[str, str]
    log: Path

    def attempts(self) -> list[str]:
        """The requested hosts, each once, in the order of the first attempt."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))[:_MAX_HOSTS]


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    log: Path


class _Refusal(socketserver.BaseRequestHandler):
    """Reads one request line, records its host, refuses."""

    server: _Listener
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(_REQUEST_TIMEOUT_S)
        with contextlib.suppress(OSError):
            line = self.request.recv(_REQUEST_BYTES).split(b"\r\n", 1)[0]
            _record_attempt(self.server.log, _host_of(line.decode("latin-1")))
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def _host_of(request_line: str) -> str:
    """``host:port`` out of ``CONNECT host:port HTTP/1.1`` or ``GET http://host/path HTTP/1.1``."""
    words = request_line.split(" ")
    if len(words) < 2:
        return "an unknown host"
    if words[0] == "CONNECT":
        return words[1]
    # Without a login, should the address carry one.
    return urlsplit(words[1]).netloc.rpartition("@")[2] or "an unknown host"


def _record_attempt(log: Path, host: str) -> None:
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{host}\n")


@contextlib.contextmanager
def refused_network(scratch: Path) -> Iterator[RefusedNetwork]:
    """The variables that keep a worker off the network, valid while the block lasts.

    Args:
        scratch: a folder for the log of attempts.
    """
    log = scratch / "network-attempts.txt"
    with _Listener(("127.0.0.1", 0), _Refusal) as listener:
        listener.log = log
        address = f"127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield RefusedNetwork(_environment(address, log), log)
        finally:
            listener.shutdown()
            thread.join()


def _environment(address: str, log: Path) -> dict[str, str]:
    proxies = {
        name: f"http://{address}"
        for word in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
        for name in (word, word.upper())
    }
    return {
        **OFFLINE,
        **_ALSO_OFFLINE,
        **proxies,
        "no_proxy": "",
        "NO_PROXY": "",
        LOG_VARIABLE: os.fspath(log),
        PROXY_VARIABLE: address,
    }
