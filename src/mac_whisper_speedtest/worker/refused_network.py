"""The tool's side of a refused network: what a worker is told, and whom it wanted to reach.

Three layers. Variables that ask libraries to stay offline; a guard on Python's own sockets
(`network_guard`); and for native code, which comes past both, proxy variables that lead to a
listener here. It notes the host that is asked for and hangs up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mac_whisper_speedtest.worker.offline import LOG_VARIABLE, PROXY_VARIABLE

_MOST_HOSTS = 20
_REQUEST_BYTES = 4096
_PATIENCE_S = 2.0

OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""What every worker is told, so that it fetches nothing on the side while it is measured."""

_ALSO_OFFLINE: Mapping[str, str] = {
    "HF_HUB_DISABLE_XET": "1",
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "WANDB_MODE": "offline",
}


@dataclass(frozen=True, slots=True)
class RefusedNetwork:
    """What a worker's environment needs, and the file in which attempts are noted."""

    environment: Mapping[str, str]
    log: Path

    def attempts(self) -> list[str]:
        """The hosts that were asked for, each once, in the order of the first attempt."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))[:_MOST_HOSTS]


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    log: Path


class _Refusal(socketserver.BaseRequestHandler):
    """Reads one request line, writes its host down, refuses."""

    server: _Listener
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(_PATIENCE_S)
        with contextlib.suppress(OSError):
            line = self.request.recv(_REQUEST_BYTES).split(b"\r\n", 1)[0]
            note(self.server.log, _host_of(line.decode("latin-1")))
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


def note(log: Path, host: str) -> None:
    """Add a host to the log of attempts."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{host}\n")


@contextlib.contextmanager
def refused_network(scratch: Path) -> Iterator[RefusedNetwork]:
    """Everything a worker must be given so that it reaches nobody, while the block lasts.

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
