"""A web server on loopback that serves what it is given, and every kind of bad behavior.

``with Web() as web: web.pages["/a.wav"] = b"..."``; a page may also be a function that answers the
request itself. `stops` is set when the server goes, for those that would serve for ever.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    path: str
    host: str
    range: str


Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """What a page's function gets to answer with."""

    web: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = self.headers
        asked = Asked(self.path, headers.get("Host", ""), headers.get("Range", ""))
        self.web.asked.append(asked)
        page = self.web.pages.get(self.path.partition("?")[0])
        try:
            if page is None:
                self.send_error(404)
            elif isinstance(page, bytes):
                self.serve(page)
            else:
                page(self)
        except OSError:  # who asked went away
            self.close_connection = True

    def serve(self, content: bytes, *, cut_at: int | None = None) -> None:
        """Send bytes, from where the range begins; end the connection early where asked to."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(content) > 0:
            self.begin(416, {"Content-Length": "0"})
            return
        headers = {"Content-Length": str(len(content) - start), "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.begin(206 if start else 200, headers)
        self.wfile.write(content[start:cut_at])
        if cut_at is not None:
            self.hang_up()

    def begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


def redirect(target: str, status: int = 302) -> Answer:
    """Send whoever asks elsewhere."""
    return lambda request: request.begin(status, {"Location": target, "Content-Length": "0"})


def endless(beginning: bytes = b"") -> Answer:
    """Send without end and without a stated length."""

    def answer(request: Request) -> None:
        request.begin(200, {"Connection": "close"})
        request.wfile.write(beginning)
        while not request.web.stops.is_set():
            request.wfile.write(bytes(1 << 16))
        request.close_connection = True

    return answer


def dripping(content: bytes, every_s: float) -> Answer:
    """Send one byte at a time."""

    def answer(request: Request) -> None:
        request.begin(200, {"Content-Length": str(len(content))})
        for byte in content:
            if request.web.stops.wait(every_s):
                return
            request.wfile.write(bytes([byte]))

    return answer


def silent(request: Request) -> None:
    """Answer nothing at all."""
    request.web.stops.wait(60)
    request.close_connection = True


def dripping_headers(request: Request) -> None:
    """Send headers for ever, slowly."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not request.web.stops.wait(0.05):
        request.wfile.write(b"X-More: x\r\n")
    request.close_connection = True


def cut_at(content: bytes, byte: int, times: int = 1) -> Answer:
    """End the connection at this byte of the file, so many times."""
    left = [times]

    def answer(request: Request) -> None:
        left[0] -= 1
        request.serve(content, cut_at=byte if left[0] >= 0 else None)

    return answer


class Web:
    """The server. ``certificate`` is a PEM file with key and certificate, for https."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.pages: dict[str, bytes | Answer] = {}
        self.asked: list[Asked] = []
        self.stops = threading.Event()
        handler = type("Handler", (Request,), {"web": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stops.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
