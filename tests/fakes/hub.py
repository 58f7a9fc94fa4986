"""A Hugging Face hub on loopback: real answers, a log of every request, and faults on demand.

Two servers: the hub at 127.0.0.1 and a store on another host name (``localhost``) and port, to
which large files can be redirected as the real hub does.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

_BLOCK = 1 << 16
_LARGE_SUFFIXES = (".bin", ".safetensors", ".npz", ".h5", ".msgpack", ".onnx")


class File:
    """A file as the hub stores it: large ones by SHA-256, small ones by git's SHA-1."""

    def __init__(self, name: str, content: bytes | Path) -> None:
        self.name = name
        data = content if isinstance(content, bytes) else content.read_bytes()
        self.data = data
        self.size = len(data)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.blob_id = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.large = name.endswith(_LARGE_SUFFIXES)

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id

    def listed(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "rfilename": self.name,
            "size": self.size,
            "blobId": self.blob_id,
        }
        if self.large:
            entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": 135}
        return entry


@dataclass
class Fault:
    """What goes wrong with a request for a file's body, or with every request of a kind.

    Attributes:
        status: answer with this status instead.
        headers: with these in the answer.
        cut_at: end the connection at this byte of the file.
        alter: turn one bit of the body.
        extra: bytes to send beyond the file.
        bytes_per_s: send at this rate, in pieces of a tenth of a second.
        ignore_range: send the whole file whatever was asked for.
        silent: send the headers and nothing more.
        method: the kind of request it happens to.
        times: how often it happens.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    alter: bool = False
    extra: bytes = b""
    bytes_per_s: float = 0
    ignore_range: bool = False
    silent: bool = False
    method: str = "GET"
    times: int = 1


@dataclass
class Request:
    """One request as it came, and how many bytes of a body went out for it."""

    server: str
    method: str
    path: str
    range: str
    authorization: str
    agent: str
    status: int = 0
    sent: int = 0

    @property
    def name(self) -> str:
        """The file it was for; empty for the list of files."""
        return self.path.partition("/resolve/")[2].partition("/")[2]


@dataclass
class Repository:
    commit: str
    files: dict[str, File]
    gated: bool = False
    private: bool = False


class Hub:
    """The hub and its store; ``with Hub() as hub``."""

    def __init__(self) -> None:
        self.log: list[Request] = []
        self.repositories: dict[str, Repository] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.redirect_large = False
        self.bytes_per_s = 0.0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._servers = [_Server(self, "hub", "127.0.0.1"), _Server(self, "store", "localhost")]

    def __enter__(self) -> Self:
        for server in self._servers:
            server.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
            server.thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def store(self) -> str:
        return f"http://localhost:{self._servers[1].server_port}"

    def add(self, name: str, commit: str, files: dict[str, bytes | Path]) -> Repository:
        """Offer a repository with one commit, which its main branch is at."""
        known = {file: File(file, content) for file, content in files.items()}
        self.repositories[name] = Repository(commit, known)
        return self.repositories[name]

    def fail(self, name: str, *faults: Fault) -> None:
        """Let these faults happen to requests for the file ``name``, in that order."""
        self.faults.setdefault(name, []).extend(faults)

    def fault(self, name: str, method: str) -> Fault | None:
        with self.lock:
            for fault in self.faults.get(name, []):
                if fault.method == method and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def bodies(self, name: str = "") -> list[Request]:
        """The requests for bodies (of one file) that were answered with one."""
        return [
            request
            for request in self.log
            if request.method == "GET"
            and request.status in {200, 206}
            and request.name
            and request.name.endswith(name)
        ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: Hub, role: str, host: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.role = role
        self.host = host
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self.request_seen = Request(
            self.server.role,
            self.command,
            path,
            self.headers.get("Range", ""),
            self.headers.get("Authorization", ""),
            self.headers.get("User-Agent", ""),
        )
        with hub.lock:
            hub.log.append(self.request_seen)
        if path.startswith("api/models/"):
            self._list(path.removeprefix("api/models/"))
            return
        repository, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        if (found := self._repository(repository, revision)) is None:
            return
        if name not in found.files:
            self._refuse(404, "EntryNotFound")
            return
        self._file(found, found.files[name])

    def _list(self, path: str) -> None:
        name, _, revision = path.partition("/revision/")
        if (found := self._repository(name, revision)) is None:
            return
        fault = self.server.hub.fault("", "GET")
        if fault is not None and fault.status:
            self._refuse(fault.status, headers=fault.headers)
            return
        listed = [file.listed() for file in found.files.values()]
        body = {"id": name, "modelId": name, "sha": found.commit, "siblings": listed}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _repository(self, name: str, revision: str) -> Repository | None:
        found = self.server.hub.repositories.get(name)
        if found is None:
            self._refuse(404, "RepoNotFound")
        elif found.gated:
            self._refuse(403, "GatedRepo")
        elif found.private and not self.request_seen.authorization:
            self._refuse(401)
        elif revision not in {found.commit, "main"}:
            self._refuse(404, "RevisionNotFound")
        else:
            return found
        return None

    def _file(self, repository: Repository, file: File) -> None:
        hub = self.server.hub
        at_hub = self.server.role == "hub"
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{file.etag}"'} if at_hub else {}
        if at_hub and hub.redirect_large and file.large:
            linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
            self._send(302, {**headers, **linked, "Location": f"{hub.store}{self.path}"}, b"")
            return
        fault = hub.fault(file.name, self.command) or Fault()
        if fault.status:
            self._refuse(fault.status, headers=fault.headers)
            return
        data = file.data
        if fault.alter:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        start = 0
        if asked := self.request_seen.range.removeprefix("bytes=").rstrip("-"):
            start = 0 if fault.ignore_range else int(asked)
        if start >= len(data) and start:
            self._refuse(416)
            return
        body = memoryview(data)[start:]
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        headers["Content-Length"] = str(len(body) + len(fault.extra))
        self._headers(206 if start else 200, headers)
        if self.command == "GET" and not fault.silent:
            end = len(data) if fault.cut_at is None else fault.cut_at
            self._body(body[: max(0, end - start)], fault)
            if fault.cut_at is not None:
                self.close_connection = True
                return
            self.wfile.write(fault.extra)
        elif fault.silent:
            hub.closing.wait(60)
            self.close_connection = True

    def _body(self, body: memoryview, fault: Fault) -> None:
        while body:
            rate = fault.bytes_per_s or self.server.hub.bytes_per_s
            if rate and self.server.hub.closing.wait(0.1):
                return
            size = max(1, int(rate / 10)) if rate else _BLOCK
            self.request_seen.sent += self.wfile.write(body[:size])
            body = body[size:]

    def _refuse(self, status: int, code: str = "", headers: dict[str, str] | None = None) -> None:
        coded = {"X-Error-Code": code} if code else {}
        self._send(status, {**coded, **(headers or {})}, b"")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._headers(status, {"Content-Length": str(len(body)), **headers})
        if self.command == "GET":
            self.wfile.write(body)

    def _headers(self, status: int, headers: dict[str, str]) -> None:
        self.request_seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of this machine that refuses connections, held so that no other process gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody can connect, nobody else bind
        yield held.getsockname()[1]
