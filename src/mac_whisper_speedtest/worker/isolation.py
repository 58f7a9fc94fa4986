"""Blocks the network for a worker that only checks weights, and records the requested hosts.

If the system allows it, the worker runs without a network: on Linux in a new network namespace
(`without_network`), on macOS under a sandbox profile. This covers native code, child processes and
programs that are not Python. A trial first shows whether it works.

On every system, variables ask libraries to stay offline, Python's sockets are guarded (`offline`),
and proxy variables point to a listener that records the requested host and refuses it. The guard
and the listener name the hosts; alone they stop only code that uses them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from mac_whisper_speedtest.backends.backend import NO_HUB
from mac_whisper_speedtest.http_errors import PUBLIC_HUB
from mac_whisper_speedtest.printable import printable_name
from mac_whisper_speedtest.worker.launch import Launch
from mac_whisper_speedtest.worker.offline import LOG_VARIABLE, OFFLINE, PROXY_VARIABLE
from mac_whisper_speedtest.worker.without_network import SOCKET_NAME

_HUB = urlsplit(PUBLIC_HUB).netloc
_MAX_HOSTS = 20
_LONGEST_HOST = 260  # characters: a name (RFC 1035) and a port
_LOG_BYTES = 1 << 16
_REQUEST_BYTES = 4096
_REQUEST_TIMEOUT_S = 2.0
_TRIAL_TIMEOUT_S = 20.0
_REFUSED = 42
"""Exit code of a trial that could not connect."""

_LAUNCHER = Path(__file__).with_name("without_network.py")
_SANDBOX = "/usr/bin/sandbox-exec"
# Later rules of a profile take precedence. Daemons do name lookups and background downloads.
_PROFILE = """(version 1)
(allow default)
(deny network*)
(allow network* (local unix-socket))
(allow network* (remote unix-socket))
(deny network-outbound (literal "/private/var/run/mDNSResponder"))
(deny mach-lookup (global-name "com.apple.nsurlsessiond"))
(allow network-outbound (remote ip "localhost:{port}"))
"""
_TRIAL = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
except OSError:
    sys.exit(int(sys.argv[2]))
"""

_ALSO_OFFLINE: Mapping[str, str] = {
    "HF_HUB_DISABLE_XET": "1",
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "WANDB_MODE": "offline",
}


@dataclass(frozen=True, slots=True)
class RefusedNetwork:
    """How a worker is started without a network.

    Attributes:
        folder: of the handover socket.
        port: of the listener that refuses.
        log: the file in which attempts are recorded.
        not_blocked: why this system cannot run a program without a network; empty if it can.
    """

    folder: Path
    port: int
    log: Path
    not_blocked: str

    def applied_to(self, started: Launch) -> Launch:
        """The same worker, but without a network."""
        address = f"127.0.0.1:{self.port}"
        proxies = {
            name: f"http://{address}"
            for word in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
            for name in (word, word.upper())
        }
        # Apple's URL loading ignores proxy variables.
        hubs = {
            name: f"http://{address}/{_HUB}"
            for name, value in started.environment.items()
            if value == NO_HUB
        }
        environment = {
            **started.environment,
            **hubs,
            **OFFLINE,
            **_ALSO_OFFLINE,
            **proxies,
            "no_proxy": "",
            "NO_PROXY": "",
            LOG_VARIABLE: os.fspath(self.log),
            PROXY_VARIABLE: address,
        }
        argv = started.argv
        # The caller reports a program that does not exist, as in a run.
        program = os.path.join(started.cwd, argv[0]) if os.sep in argv[0] else argv[0]  # noqa: PTH118
        if not self.not_blocked and shutil.which(program, path=environment.get("PATH")):
            argv = (*_prefix(self.folder, self.port), *argv)
        return replace(started, argv=argv, environment=environment)

    def attempts(self) -> list[str]:
        """The requested hosts, each once, in the order of the first attempt.

        The worker can change the log, or put anything in its place.
        """
        try:
            handle = os.open(self.log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(handle, "rb") as stream:  # noqa: PTH123 - of a handle
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return []
                lines = stream.read(_LOG_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        hosts = (printable_name(line)[:_LONGEST_HOST] for line in lines)
        return list(dict.fromkeys(filter(None, hosts)))[:_MAX_HOSTS]


@contextlib.contextmanager
def refused_network(scratch: Path) -> Iterator[RefusedNetwork]:
    """No network for a worker; valid while the block lasts.

    Args:
        scratch: a folder for the log of attempts and the handover of the listener.
    """
    log = scratch / "network-attempts.txt"
    with contextlib.ExitStack() as stack:
        listener = socket.create_server(("127.0.0.1", 0))
        stack.enter_context(_serving(listener, log))
        if sys.platform == "linux":
            stack.enter_context(_serving_inside(scratch, log))
        yield RefusedNetwork(scratch, listener.getsockname()[1], log, reason_not_blocked())


def _prefix(folder: Path | str, port: int) -> tuple[str, ...]:
    """The arguments to put before a program to block its network; empty if impossible."""
    launcher = (sys.executable, "-I", "-S", str(_LAUNCHER), str(folder), str(port))
    sandbox = (_SANDBOX, "-p", _PROFILE.format(port=port))
    return {"linux": launcher, "darwin": sandbox}.get(sys.platform, ())


@functools.cache
def reason_not_blocked() -> str:
    """Why programs cannot be run without a network here; empty if a trial could not connect."""
    prefix = _prefix("", 0)
    if not prefix:
        return f"{sys.platform} has no way to do it"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        trial = [sys.executable, "-I", "-S", "-c", _TRIAL, port, str(_REFUSED)]
        try:
            done = subprocess.run(
                [*prefix, *trial],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TRIAL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    if done.returncode == _REFUSED:
        return ""
    if done.returncode == 0:
        return "a trial could still connect"
    errors = done.stderr.strip().splitlines()
    return errors[-1] if errors else f"a trial ended with {done.returncode}"


class _RefusingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, log: Path) -> None:
        super().__init__(listener.getsockname(), _Refusal, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.log = log


class _Refusal(socketserver.BaseRequestHandler):
    """Reads one request line, records its host, refuses."""

    server: _RefusingServer
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(_REQUEST_TIMEOUT_S)
        with contextlib.suppress(OSError):
            line = self.request.recv(_REQUEST_BYTES).split(b"\r\n", 1)[0]
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(self.server.log, flags, 0o600), "wb") as stream:  # noqa: PTH123
                stream.write(f"{_host_of(line.decode('latin-1'))}\n".encode())
            self.request.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def _host_of(request_line: str) -> str:
    """The host in a request line.

    ``CONNECT host:port HTTP/1.1`` or ``GET http://host/path HTTP/1.1`` to a proxy, or
    ``GET /huggingface.co/path HTTP/1.1`` to the substitute for the hub.
    """
    words = request_line.split(" ")
    if len(words) < 2:
        return "an unknown host"
    if words[0] == "CONNECT":
        return words[1]
    if words[1].startswith(f"/{_HUB}/"):
        return _HUB
    # The address may have a login, which is removed.
    return urlsplit(words[1]).netloc.rpartition("@")[2] or "an unknown host"


@contextlib.contextmanager
def _serving(listener: socket.socket, log: Path) -> Iterator[None]:
    """Refuse every request to ``listener``; close it at the end."""
    with _RefusingServer(listener, log) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _serving_inside(folder: Path, log: Path) -> Iterator[None]:
    """Refuse every request to the listener that `without_network` hands over."""
    with contextlib.ExitStack() as servers, socket.socket(socket.AF_UNIX) as handover:
        handle = os.open(folder, os.O_RDONLY)
        try:
            # A path through a handle, because a socket's path is limited to 107 bytes.
            handover.bind(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        finally:
            os.close(handle)
        handover.listen(1)

        def serve() -> None:
            with contextlib.suppress(OSError):  # the block has ended
                connection, _ = handover.accept()
                with connection:
                    _, handles, _, _ = socket.recv_fds(connection, 1, 1)
                if handles:
                    servers.enter_context(_serving(socket.socket(fileno=handles[0]), log))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            handover.shutdown(socket.SHUT_RDWR)  # wakes the thread
            thread.join()
