"""Dask, as a fleet uses it: quiet, over TLS only, on one address, and not as its user set it up.

Nothing here imports Dask until it is needed, and then :func:`configure` has been called. Before
Dask connects, :func:`check` has spoken TLS with the scheduler: it knows why a certificate is
refused, which Dask reports as a closed connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
import socket
import ssl
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mac_whisper_speedtest import files, limits
from mac_whisper_speedtest.errors import ExitCode, SpeedtestError, UsageError
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part
from mac_whisper_speedtest.printable import printable
from mac_whisper_speedtest.privacy import scrub

if TYPE_CHECKING:
    from distributed import Client, Security

TUNED: Mapping[str, Any] = {
    # A node's agent wakes up as rarely as can be; all of these are loops of Dask's.
    "distributed.admin.tick.interval": "30s",
    "distributed.admin.tick.cycle": "30s",
    "distributed.admin.tick.limit": "1h",  # a frozen agent is not slow
    "distributed.admin.system-monitor.interval": "30s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.log-length": 100,
    "distributed.diagnostics.nvml": False,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "30s",
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.http.routes": [],
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.active-memory-manager.start": False,
    # Which node measures what, and again, is decided by the coordinator alone.
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.allowed-failures": 0,
    # A frozen agent says nothing for as long as a measurement takes. The kernel still answers, so
    # a machine that is gone is noticed by its connection.
    "distributed.scheduler.worker-ttl": None,
    "distributed.comm.timeouts.connect": "10s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.comm.require-encryption": True,
}
_LOGGERS = ("distributed", "tornado", "asyncio")
_LARGEST_LOG_BYTES = 256 << 10
_TIMEOUT_S = 10.0
_RUNNING = "is speedtest fleet serve running there?"


class FleetRefusedError(UsageError):
    """This machine or the scheduler does not accept the other one; trying again does not help."""


class FleetUnreachableError(SpeedtestError):
    """The scheduler does not answer; it may later."""

    exit_code = ExitCode.DOWNLOAD


class ConnectedNode(NamedTuple):
    """A node that waits for work, or measures.

    Attributes:
        name: unique in the fleet.
        address: as Dask knows it.
        labels: what it says of itself, within the program's limits.
    """

    name: str
    address: str
    labels: Mapping[str, Any]


# How Dask is set up


def configure(log: Path | None = None) -> None:
    """Set Dask up for a fleet, whatever the user's own files and variables say.

    Args:
        log: where its warnings go; without one, nowhere.
    """
    with _no_settings():
        import dask.config
    dask.config.refresh(paths=[], env={})
    dask.config.set(dict(TUNED))
    import distributed  # noqa: F401 - it sets up loggers of its own

    # Of Python, numpy and others: jobs and answers are texts. Dask's own are compared by the agent.
    warnings.filterwarnings("ignore", message="Mismatched versions found")
    handler = _log_handler(log) if log is not None else logging.NullHandler()
    for name in logging.root.manager.loggerDict:
        if name.startswith(_LOGGERS):
            logger = logging.getLogger(name)
            for each in logger.handlers:
                each.close()
            logger.handlers.clear()
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = False


@contextlib.contextmanager
def _no_settings() -> Iterator[None]:
    """Hide the user's settings from Dask, which reads them while it is imported, valid or not."""
    before = {name: os.environ.get(name) for name in ("HOME", "DASK_CONFIG", "DASK_ROOT_CONFIG")}
    with tempfile.TemporaryDirectory() as empty:
        os.environ.update(dict.fromkeys(before, empty))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class _ScrubbedFormatter(logging.Formatter):
    """Lines without secrets, user names and home folders; a control character does nothing."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, its traceback included."""
        return printable(scrub(super().format(record))[: limits.LONGEST_MESSAGE])


def _log_handler(path: Path) -> logging.Handler:
    with files.storage_errors(f"write {path}"):
        files.private_folder(path.parent)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=_LARGEST_LOG_BYTES, backupCount=1, encoding="utf-8", delay=True
        )
    handler.setFormatter(_ScrubbedFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    return handler


def security(settings: FleetSettings) -> Security:
    """TLS 1.3 with this fleet's authority, and each part with its own certificate.

    A part without a certificate here is left out: it can then neither connect nor listen.
    """
    from distributed import Security

    paths = {
        f"tls_{'worker' if part is Part.NODE else part}_{what}": str(settings.certificate(part))
        for part in Part
        if settings.certificate(part).exists()
        for what in ("cert", "key")
    }
    return Security(  # type: ignore[no-untyped-call]
        require_encryption=True,
        tls_ca_file=str(settings.authority),
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **paths,
    )


# What goes wrong before Dask is asked


def check(settings: FleetSettings, part: Part) -> str:
    """Whether the scheduler can be reached and accepts this machine, which it then leaves again.

    Returns:
        This machine's own address towards the scheduler.

    Raises:
        FleetRefusedError: one of the two does not accept the other.
        FleetUnreachableError: the scheduler does not answer.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # in a fleet a certificate says who may take part, not where
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    certificate = settings.own_certificate(part)
    try:
        context.load_verify_locations(settings.authority)
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise FleetRefusedError(
            f"the certificates in {settings.folder} cannot be used: {error}",
            hint="install them again: speedtest fleet join --from fleet-NAME.zip",
        ) from error
    try:
        with socket.create_connection(settings.host_and_port, _TIMEOUT_S) as plain:
            own: str = plain.getsockname()[0]
            with context.wrap_socket(plain) as encrypted:
                # In TLS 1.3 a refusal of our certificate comes after the handshake. Dask speaks
                # first.
                if not encrypted.recv(1):
                    raise FleetUnreachableError(
                        f"{settings.scheduler} closed the connection",
                        hint=_RUNNING,
                    )
    except ssl.SSLError as error:
        raise _refusal(settings, error) from error
    except OSError as error:
        raise FleetUnreachableError(
            f"cannot reach the scheduler {settings.scheduler}: {error.strerror or error}",
            hint="is speedtest fleet serve running there, and does a firewall let it be reached?",
        ) from error
    return own


_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_*


def _refusal(settings: FleetSettings, error: ssl.SSLError) -> SpeedtestError:
    """The error of a TLS connection, with what to do about it."""
    name, reason = settings.scheduler, str(error.reason)
    again = "on the machine of speedtest fleet init: speedtest fleet init"
    package = f"{again} --node {settings.name} makes a package for this machine"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            message = f"the certificate of the scheduler {name} has expired"
            hint = f"{again} --renew, and start speedtest fleet serve again"
        elif error.verify_code == _NOT_YET:
            message = f"the certificate of the scheduler {name} is not valid yet"
            hint = "compare the clocks of the two machines"
        else:
            message = f"the scheduler {name} is of another fleet: {error.verify_message}"
            hint = package
    elif "ALERT" in reason:
        said = "it has expired" if "EXPIRED" in reason else reason.lower().replace("_", " ")
        message = f"the scheduler {name} refuses this machine's certificate: {said}"
        hint = package
    elif reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}:
        message = f"what answers at {name} does not use TLS, so it is no scheduler of a fleet"
        hint = "start it with speedtest fleet serve"
    else:
        return FleetUnreachableError(f"the connection to {name} failed: {error}", hint=_RUNNING)
    return FleetRefusedError(message, hint=hint)


# The scheduler


def serve(settings: FleetSettings, ready: Callable[[str], None]) -> None:
    """Run the scheduler until Ctrl-C or SIGTERM.

    Args:
        settings: of this machine.
        ready: called with its address once it listens.

    Raises:
        UsageError: it cannot listen there, or has no certificate.
    """
    settings.own_certificate(Part.SCHEDULER)
    address = bound_address(settings)
    configure(settings.folder / "serve.log")
    asyncio.run(_serve(settings, address, ready))


async def _serve(settings: FleetSettings, address: str, ready: Callable[[str], None]) -> None:
    scheduler = new_scheduler(settings, address)
    try:
        await scheduler
    except (OSError, RuntimeError) as error:  # Dask: "failed to start", because of the first
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        raise UsageError(
            f"cannot listen on {settings.scheduler}: {cause.strerror or cause}",
            hint="it must be an address of this machine, and a port that is free",
        ) from error
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, lambda: asyncio.ensure_future(scheduler.close()))
    ready(scheduler.address)
    await scheduler.finished()


def new_scheduler(settings: FleetSettings, address: str) -> Any:
    """Dask's scheduler on one address, to be awaited."""
    from distributed import Scheduler

    class QuietScheduler(Scheduler):
        """Dask's scheduler without its HTTP server, which knows neither TLS nor certificates."""

        def start_http_server(self, *_: object, **__: object) -> None:
            """Start none."""

    host, _, port = address.removeprefix("tls://").rpartition(":")
    return QuietScheduler(
        host=host, port=int(port), protocol="tls", security=security(settings), dashboard=False
    )


def bound_address(settings: FleetSettings) -> str:
    """The one address that the scheduler listens on: the first of its host's name.

    Raises:
        UsageError: the name has none.
    """
    host, port = settings.host_and_port
    try:
        *_, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(
            f"{host} is no address of this machine: {error.strerror}",
            hint=f"correct scheduler in {settings.folder / 'fleet.toml'}",
        ) from error
    return f"tls://{bracketed(str(found[0]))}:{port}"


def bracketed(host: str) -> str:
    """A host as it is in addresses: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


# Clients


def connect(settings: FleetSettings) -> Client:
    """An asynchronous client of the scheduler, to be awaited or used with ``async with``.

    Raises:
        FleetRefusedError: one of the two does not accept the other.
        FleetUnreachableError: the scheduler does not answer.
    """
    check(settings, Part.CLIENT)
    configure(settings.folder / "client.log")
    from distributed import Client

    return Client(  # type: ignore[no-untyped-call]
        settings.scheduler,
        security=security(settings),
        asynchronous=True,
        set_as_default=False,
        timeout=_TIMEOUT_S,
    )


async def nodes(client: Client) -> list[ConnectedNode]:
    """The nodes that are connected now, in order of their names."""
    scheduler: Any = client.scheduler
    found = await scheduler.identity(n_workers=-1)
    return sorted(
        ConnectedNode(str(each["name"]), address, checked_labels(each.get("fleet")))
        for address, each in found["workers"].items()
    )


_LABELS = limits.SizeLimits(longest_text=limits.LONGEST_MESSAGE, most_items=1000, deepest=2)


def checked_labels(given: object) -> Mapping[str, Any]:
    """The labels of a node, or none if it says something else than labels."""
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given):
        return {}
    try:
        limits.check(given, "labels", _LABELS)
    except limits.LimitError:
        return {}
    return given
