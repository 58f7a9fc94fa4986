"""A fleet on this machine: real certificates, and the scheduler as a process of its own."""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import fsspec
import psutil
import pytest

from conftest import wait_until
from mac_whisper_speedtest.fleet import certificates
from mac_whisper_speedtest.fleet import settings as fleet_settings
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.bind((host, 0))
        port: int = found.getsockname()[1]
        return port


def new_fleet(folder: Path, address: str = "") -> FleetSettings:
    return certificates.create_fleet(address or f"127.0.0.1:{free_port()}", folder)


def new_node(fleet: FleetSettings, name: str, folder: Path) -> FleetSettings:
    """What the machine of a new node has."""
    package = folder.with_name(f"{folder.name}.zip")
    contents = fleet_settings.package_of(fleet, name, certificates.issue(fleet, name))
    fleet_settings.write_package(package, contents)
    return fleet_settings.install_package(package, folder)


def with_certificate(
    fleet: FleetSettings, part: Part, content: bytes, folder: Path
) -> FleetSettings:
    """A member of the fleet whose certificate is another one."""
    found = replace(fleet, folder=folder)
    fleet_settings.save(found)
    for path, data in (
        (found.authority, fleet.authority.read_bytes()),
        (found.certificate(part), content),
    ):
        path.write_bytes(data)
        path.chmod(0o600)
    return found


@dataclass
class Serving:
    """A scheduler that is running."""

    settings: FleetSettings
    process: subprocess.Popen[str]

    def listening(self) -> list[tuple[str, int]]:
        return listening(self.process.pid)


def listening(pid: int) -> list[tuple[str, int]]:
    """The addresses on which a process and all that it started listens."""
    process = psutil.Process(pid)
    return [
        (connection.laddr.ip, connection.laddr.port)
        for each in (process, *process.children(recursive=True))
        for connection in each.net_connections("all")
        if connection.status == psutil.CONN_LISTEN
    ]


def serve(settings: FleetSettings) -> Serving:
    process = subprocess.Popen(
        [sys.executable, "-m", "mac_whisper_speedtest", "fleet", "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SPEEDTEST_DATA_DIR": str(settings.folder.parent)},
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(f"Scheduler at {settings.scheduler}"):
            return Serving(settings, process)
    process.wait()
    raise AssertionError(said)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Start schedulers, each of a new fleet if none is given; they end with the test."""
    started: list[Serving] = []

    def start(settings: FleetSettings | None = None) -> Serving:
        number = len(started)
        started.append(serve(settings or new_fleet(tmp_path / f"scheduler{number}" / "fleet")))
        return started[-1]

    yield start
    for each in started:
        each.process.send_signal(signal.SIGTERM)
        with each.process:
            each.process.communicate(timeout=30)


# A bucket, served by a process.


SERVE_S3 = "from moto.server import main; import sys; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A process that serves S3, with one bucket in it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVE_S3, str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: reachable(port), 60)
        yield address
    finally:
        process.kill()
        process.wait()


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def refuse_after(s3_server: str) -> Iterator[Callable[[float], None]]:
    """Let the server refuse credentials after so many requests."""

    def refuse_after(requests: float) -> None:
        asked = urllib.request.Request(
            f"{s3_server}/moto-api/reset-auth",
            str(requests).encode(),
            {"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(asked).close()

    yield refuse_after
    refuse_after(math.inf)


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a folder in a new bucket; credentials are where users have them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"fleet-{random.randrange(1 << 40):x}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}/runs"
