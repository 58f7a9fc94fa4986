"""A node's agent: one worker of Dask's, which passes jobs to the node's process and answers back.

    python -m mac_whisper_speedtest.fleet.agent --folder FOLDER --name NAME

The node (`fleet.node`) starts it, and owns what is measured. On stdin the agent reads the node's
labels, as one line of JSON, and then one answer for each delivery. On stdout it writes one line for
each delivery and nothing else. It ends with the end of its input, with 2 if the scheduler refuses
it for good, and otherwise when the scheduler leaves it; the node starts it again.

While the node measures, it stops this process (SIGSTOP). If the node dies meanwhile, the kernel
ends this one: by SIGHUP, which an orphaned group that is stopped gets, on Linux by prctl too.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import queue
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from mac_whisper_speedtest import files, limits
from mac_whisper_speedtest.errors import ExitCode, SpeedtestError
from mac_whisper_speedtest.fleet import network
from mac_whisper_speedtest.fleet import settings as fleet_settings
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part
from mac_whisper_speedtest.privacy import scrub

_PACKAGES = ("dask", "distributed")
"""Must be of one version everywhere: they speak with each other without a version of that."""
ANSWERS = "speedtest-answers"
"""Dask's topic of answers."""
_HEARTBEAT_S = 30.0
"""Dask's own is 0.5 s in a small fleet. It tells nothing that is needed here."""
_PR_SET_PDEATHSIG = 1


class _Node:
    """The other end of this process's pipes."""

    def __init__(self, incoming: int, outgoing: BinaryIO) -> None:
        # Read without Python's buffer: its lock would be held by a thread that waits, and Python
        # aborts if it cannot get it at its end.
        self._incoming = incoming
        self._read = b""
        self._outgoing = outgoing
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def labels(self) -> dict[str, Any]:
        """What the node says of itself, once, before anything else. Raises ValueError."""
        return files.decode_json(self._line(), dict[str, Any])

    def _line(self) -> bytes:
        while b"\n" not in self._read:
            piece = os.read(self._incoming, 1 << 16)
            if not piece or len(self._read) > limits.LONGEST_LINE:
                raise EOFError
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return line

    def read_until_its_end(self) -> None:
        """Take in answers, blocked and therefore silent, until the node closes its end."""
        try:
            while True:
                self._answers.put(self._line().decode())
        except (EOFError, OSError, UnicodeDecodeError):
            self._answers.put(None)

    def ask(self, delivery: str) -> str:
        """What the node answers to a delivery. Raises RuntimeError if it is gone."""
        self._outgoing.write(f"{delivery}\n".encode())
        self._outgoing.flush()
        answer = self._answers.get()
        if answer is None:
            self._answers.put(None)
            raise RuntimeError("the node has ended")
        return answer


_node: _Node | None = None


def execute(text: str) -> str:
    """Dask's only task: have the node measure a delivery, and return its answer.

    Args:
        text: a delivery as JSON, on one line.

    Raises:
        ValueError: it is too long, or more than a line.
        RuntimeError: this process is no agent, or its node has ended.
    """
    if len(text) > limits.LONGEST_TEXT or len(text.splitlines()) != 1:
        raise ValueError(f"a delivery is one line of {limits.LONGEST_TEXT} characters at most")
    if _node is None:
        raise RuntimeError("this process is no agent of a node")
    return announced(_node.ask(text))


def announced(answer: str) -> str:
    """Send an answer to the coordinator now, within a task of Dask; return it.

    It comes on the connections that are open already. The task's result, which a coordinator that
    missed it can still fetch, would cost a connection from the scheduler to this worker.
    """
    from distributed import get_worker

    get_worker().log_event(ANSWERS, answer)
    return answer


def command(settings: FleetSettings) -> list[str]:
    """What the node starts: the agent of these settings."""
    return [
        sys.executable,
        "-m",
        "mac_whisper_speedtest.fleet.agent",
        f"--folder={settings.folder}",
        f"--scheduler={settings.scheduler}",
        f"--name={settings.name}",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Be the agent until the scheduler or the node leaves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--scheduler", required=True)
    parser.add_argument("--name", required=True)
    given = parser.parse_args(arguments)
    _end_with_the_node()
    # Standard output is the node's: what else writes there, writes to the log.
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    node = _Node(sys.stdin.fileno(), outgoing)
    try:
        settings = replace(
            fleet_settings.load(given.folder),
            scheduler=fleet_settings.checked_address(given.scheduler),
            name=fleet_settings.checked_name(given.name),
        )
        labels = node.labels()
        own_address = network.check(settings, Part.NODE)
        network.configure(settings.folder / "agent.log")
        asyncio.run(_work(settings, own_address, labels, node))
    except EOFError:
        return int(ExitCode.OK)
    except SpeedtestError as error:
        said = f"{error.message}; {error.hint}" if error.hint else error.message
        sys.stderr.write(f"{scrub(said)}\n")
        return int(error.exit_code)
    return int(ExitCode.OK)


async def _work(
    settings: FleetSettings, own_address: str, labels: dict[str, Any], node: _Node
) -> None:
    global _node  # noqa: PLW0603 - a task is a function of a module
    worker = _new_worker(settings, own_address, labels)
    await _check_versions(worker, settings)
    _node = node
    await _join(worker, settings)
    loop = asyncio.get_running_loop()

    def leave() -> None:
        loop.create_task(worker.close(reason="the node has ended"))  # noqa: RUF006 - awaited below

    def listen() -> None:
        node.read_until_its_end()
        loop.call_soon_threadsafe(leave)

    threading.Thread(target=listen, daemon=True).start()
    await worker.finished()


async def _check_versions(worker: Any, settings: FleetSettings) -> None:
    """Raise FleetRefusedError if the scheduler has another version of what must be the same."""
    try:
        await worker.rpc.start()
        theirs = (await worker.scheduler.versions())["packages"]
    except OSError as error:
        raise network.FleetUnreachableError(
            f"cannot reach the scheduler {settings.scheduler}: {error}"
        ) from error
    ours = worker.versions()["packages"]
    different = [name for name in _PACKAGES if theirs.get(name) != ours.get(name)]
    if different:
        needed = " ".join(f"{name}=={theirs.get(name)}" for name in _PACKAGES)
        raise network.FleetRefusedError(
            f"the scheduler has {different[0]} {theirs.get(different[0])}, this machine "
            f"{ours.get(different[0])}",
            hint=f"install the same: pip install {needed}",
        )


async def _join(worker: Any, settings: FleetSettings) -> None:
    try:
        await worker
    except OSError as error:
        raise network.FleetUnreachableError(
            f"cannot reach the scheduler {settings.scheduler}: {error}"
        ) from error
    except (RuntimeError, ValueError) as error:  # how Dask reports the scheduler's refusal
        reason = f"{error} {error.__cause__ or ''}"
        if "name taken" in reason:
            raise network.FleetRefusedError(
                f"the fleet has a node {settings.name} already",
                hint="give each machine a name of its own: speedtest fleet init --node NAME",
            ) from error
        raise network.FleetUnreachableError(f"could not join: {reason.strip()}") from error


def _new_worker(settings: FleetSettings, own_address: str, labels: dict[str, Any]) -> Any:
    from distributed import Worker

    class QuietWorker(Worker):
        """Dask's worker without its HTTP server and without loops that serve nothing here."""

        def start_http_server(self, *_: object, **__: object) -> None:
            """Start none: it knows neither TLS nor certificates."""

        async def heartbeat(self) -> None:
            """A sign of life, rarely."""
            await super().heartbeat()
            self.periodic_callbacks["heartbeat"].callback_time = _HEARTBEAT_S * 1000

    async def own_labels(_worker: Worker) -> dict[str, Any]:
        return labels

    worker = QuietWorker(
        settings.scheduler,
        name=settings.name,
        nthreads=1,
        memory_limit=0,
        host=network.bracketed(own_address),
        protocol="tls",
        security=network.security(settings),
        local_directory=str(files.private_folder(settings.folder / "scratch")),
        startup_information={"fleet": own_labels},
        dashboard=False,
    )
    del worker.periodic_callbacks["find-missing"]  # no data of others is ever needed
    return worker


def _end_with_the_node() -> None:
    """On Linux, have the kernel end this process with the node, also while it is stopped.

    With a node that ended before, its input has ended too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    # As the module that tasks name: what runs as __main__ would be another copy of it.
    from mac_whisper_speedtest.fleet import agent  # noqa: PLW0406

    sys.exit(agent.main())
