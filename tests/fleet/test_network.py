"""The fleet's network with real sockets: one address, TLS both ways, strangers refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.conftest import Serving, free_port, new_fleet, new_node, with_certificate
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.fleet import certificates, network
from mac_whisper_speedtest.fleet.network import FleetRefusedError, FleetUnreachableError
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part

Start = Callable[..., Serving]


def works(settings: FleetSettings) -> bool:
    """Whether a client of the fleet is served."""

    async def ask() -> bool:
        async with asyncio.timeout(20), network.connect(settings) as client:
            return await network.nodes(client) == []

    return asyncio.run(ask())


STRANGER = """
import asyncio, sys
from pathlib import Path
from distributed import Client
from distributed.security import Security

folder, address = sys.argv[1:]
files = {"tls_ca_file": f"{folder}/ca.pem"}
files |= {f"tls_client_{what}": f"{folder}/client.pem" for what in ("cert", "key")}
security = Security(require_encryption=True, **files) if address.startswith("tls") else None

async def ask():
    async with Client(address, security=security, asynchronous=True, timeout=5) as client:
        print(await client.scheduler.identity())

try:
    asyncio.run(asyncio.wait_for(ask(), 30))
except OSError as error:  # of connections, and of time
    print("refused:", type(error).__name__, file=sys.stderr)
"""


def refused_by_dask(settings: FleetSettings, address: str) -> bool:
    """Whether a client is refused that has nothing of this tool."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(settings.folder), address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout == "" and "refused: " in done.stderr


# One address


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_scheduler_listens_on_its_one_address_only(
    serving: Start, tmp_path: Path, host: str
) -> None:
    try:
        port = free_port(host.strip("[]"))
    except OSError:
        pytest.skip(f"this machine has no {host}")
    settings = new_fleet(tmp_path / "a" / "fleet", f"{host}:{port}")

    running = serving(settings)

    assert running.listening() == [(host.strip("[]"), port)]
    assert works(settings)


def test_a_name_is_one_address(tmp_path: Path) -> None:
    settings = new_fleet(tmp_path, "localhost:9000")

    assert network.bound_address(settings) in {"tls://127.0.0.1:9000", "tls://[::1]:9000"}


@pytest.mark.parametrize("taken", [True, False])
def test_an_address_that_cannot_be_listened_on_is_named(tmp_path: Path, taken: bool) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        host = "127.0.0.1" if taken else "192.0.2.1"  # RFC 5737: documentation
        settings = new_fleet(tmp_path / "fleet", f"{host}:{other.getsockname()[1]}")
        done = subprocess.run(
            [sys.executable, "-m", "mac_whisper_speedtest", "fleet", "serve"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "SPEEDTEST_DATA_DIR": str(tmp_path)},
        )

    assert done.returncode == ExitCode.USAGE
    assert f"cannot listen on {settings.scheduler}" in done.stderr
    assert "Traceback" not in done.stderr


# Strangers


def test_strangers_are_refused_and_the_fleet_goes_on(serving: Start, tmp_path: Path) -> None:
    running = serving()
    fleet, address = running.settings, running.settings.scheduler
    other = replace(new_fleet(tmp_path / "other"), scheduler=address)
    forged = with_certificate(
        fleet, Part.CLIENT, other.certificate(Part.CLIENT).read_bytes(), tmp_path / "forged"
    )
    late = with_certificate(
        fleet, Part.CLIENT, certificates.issue(fleet, "late", days=-1), tmp_path / "late"
    )

    with pytest.raises(FleetRefusedError, match="is of another fleet"):
        network.connect(other)
    with pytest.raises(FleetRefusedError, match=r"this machine's certificate: .*unknown ca"):
        network.connect(forged)
    with pytest.raises(FleetRefusedError, match=r"refuses this machine's .*: it has expired"):
        network.connect(late)
    for stranger in (other, forged, late):
        assert refused_by_dask(stranger, address)
    assert refused_by_dask(fleet, address.replace("tls://", "tcp://"))
    assert not refused_by_dask(fleet, address)
    assert said_to_a_stranger(fleet) == "certificate required"
    assert works(fleet)

    log = (fleet.folder / "serve.log").read_text(encoding="utf-8")
    assert log.count("TLS handshake failed") >= 7  # one for each of these
    assert "Traceback" not in log


def said_to_a_stranger(fleet: FleetSettings) -> str:
    """What the scheduler answers to somebody without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(fleet.authority)
    with (
        socket.create_connection(fleet.host_and_port, 10) as plain,
        context.wrap_socket(plain) as encrypted,
        pytest.raises(ssl.SSLError) as error,
    ):
        encrypted.recv(1)
    return str(error.value.reason).partition("ALERT_")[2].lower().replace("_", " ")


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100_000, os.urandom(4096), b""], ids=range(4)
)
def test_garbage_is_refused_and_the_fleet_goes_on(serving: Start, said: bytes) -> None:
    running = serving()
    held = socket.create_connection(running.settings.host_and_port, 10)  # one that says nothing
    with socket.create_connection(running.settings.host_and_port, 10) as plain:
        plain.sendall(said)
        plain.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := plain.recv(4096):
                answer += piece
    assert b"HTTP" not in answer
    assert works(running.settings)
    held.close()


def test_an_expired_scheduler_is_named(serving: Start, tmp_path: Path) -> None:
    fleet = new_fleet(tmp_path / "a" / "fleet")
    node = new_node(fleet, "mini", tmp_path / "mini")
    fleet.certificate(Part.SCHEDULER).write_bytes(certificates.issue(fleet, "scheduler", days=-1))
    serving(fleet)

    with pytest.raises(FleetRefusedError, match=r"of the scheduler .* has expired") as error:
        network.check(node, Part.NODE)
    assert "--renew" in error.value.hint


def test_what_answers_without_tls_is_named(tmp_path: Path) -> None:
    settings = new_fleet(tmp_path)
    with socket.create_server(settings.host_and_port) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                connection.recv(4096)

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(FleetRefusedError, match="does not use TLS"):
            network.check(settings, Part.NODE)
        answering.join()


def test_a_scheduler_that_is_not_there_may_come(tmp_path: Path) -> None:
    with pytest.raises(FleetUnreachableError, match="cannot reach the scheduler") as error:
        network.check(new_fleet(tmp_path), Part.NODE)
    assert error.value.exit_code == ExitCode.DOWNLOAD


def test_a_damaged_certificate_is_named(tmp_path: Path) -> None:
    settings = new_fleet(tmp_path)
    settings.certificate(Part.NODE).write_bytes(b"-----BEGIN")

    with pytest.raises(UsageError, match="cannot be used"):
        network.check(settings, Part.NODE)


def test_a_scheduler_starts_again_and_serves_the_same_fleet(serving: Start) -> None:
    first = serving()
    first.process.terminate()
    assert first.process.wait(30) == 0

    assert works(serving(first.settings).settings)


# The user's own Dask


SHOW = """
import json, sys
from pathlib import Path
from mac_whisper_speedtest.fleet import network
network.configure(Path(sys.argv[1]))
import dask, distributed, logging
found = {name: dask.config.get(name) for name in json.loads(sys.argv[2])}
found["scheduler-address"] = dask.config.get("scheduler-address", None)
logging.getLogger("distributed.worker").warning(
    "in %s with %s\\x1b[2J", Path.home() / "work", "hf_" + "a1B2" * 9
)
logging.getLogger("distributed.core").info("too much")
for _ in range(3000):
    logging.getLogger("distributed.client").warning("x" * 400)
import warnings
from distributed.versions import VersionMismatchWarning
warnings.warn(VersionMismatchWarning("Mismatched versions found\\n\\n+---+"))
print(json.dumps(found))
"""


def configured(home: Path, *names: str) -> dict[str, object]:
    """Dask's settings in a process of a user who has others."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, str(home / "log" / "a.log"), json.dumps(names)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={
            **os.environ,
            "HOME": str(home),
            "DASK_CONFIG": str(home / "named"),
            "DASK_SCHEDULER_ADDRESS": "tcp://10.0.0.9:1",
            "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "True",
            "DASK_DISTRIBUTED__COMM__TLS__CIPHERS": "NULL",
        },
    )
    assert done.stderr == ""
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("damaged", [False, True])
def test_the_users_own_settings_of_dask_change_nothing(tmp_path: Path, damaged: bool) -> None:
    for folder in (tmp_path / ".config" / "dask", tmp_path / "named"):
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text(
            "[}"
            if damaged
            else "distributed:\n  admin:\n    tick:\n      interval: 1ms\n"
            "  worker:\n    preload: [evil]\n  logging:\n    distributed: debug\n",
            encoding="utf-8",
        )
    others = ("distributed.worker.preload", "distributed.comm.tls.ciphers")

    found = configured(tmp_path, *network.TUNED, *others)

    assert found == {
        **network.TUNED, "distributed.worker.preload": [], "distributed.comm.tls.ciphers": None,
        "scheduler-address": None,
    }  # fmt: skip


def test_a_log_is_bounded_and_has_no_secrets(tmp_path: Path) -> None:
    configured(tmp_path)

    logs = sorted((tmp_path / "log").iterdir())
    assert [path.name for path in logs] == ["a.log", "a.log.1"]
    assert sum(path.stat().st_size for path in logs) < 600_000
    assert {path.stat().st_mode & 0o077 for path in logs} <= {0o044}  # in a folder of one user
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


def test_a_line_of_a_log_is_scrubbed(tmp_path: Path) -> None:
    code = SHOW.replace("range(3000)", "range(0)")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.log"), "[]"],
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path / "jane")},
    )
    assert done.returncode == 0

    (line,) = (tmp_path / "a.log").read_text(encoding="utf-8").splitlines()
    assert "in ~/work with" in line
    assert "a1B2" not in line
    assert "\x1b" not in line
    assert "jane" not in line


def test_labels_are_bounded() -> None:
    good = {"chip": "Apple M4", "memory": 2**34, "backends": ["faster-whisper"]}

    assert network.checked_labels(good) == good
    for bad in (None, "x", [good], {"chip": "x" * 3000}, {str(n): n for n in range(2000)}):
        assert network.checked_labels(bad) == {}
