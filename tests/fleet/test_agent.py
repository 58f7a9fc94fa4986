"""The agent as its node sees it, with a real scheduler: deliveries, refusals, freezing, ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import wait_until
from fleet.conftest import Serving, listening, new_fleet, new_node, with_certificate
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.fleet import agent, certificates, network
from mac_whisper_speedtest.fleet import settings as fleet_settings
from mac_whisper_speedtest.fleet.network import ConnectedNode
from mac_whisper_speedtest.fleet.settings import FleetSettings, Part

Start = Callable[..., Serving]
LABELS = {"chip": "M4", "memory": 2**34, "backends": ["faster-whisper"]}


class Agent:
    """An agent, started as a node starts it."""

    def __init__(self, argv: list[str]) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.say(json.dumps(LABELS))

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> tuple[int, str]:
        """Its status and the last line of its log, once it has ended."""
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, (log.splitlines() or [""])[-1]


@pytest.fixture
def agents() -> Iterator[Callable[..., Agent]]:
    started: list[Agent] = []

    def start(settings: FleetSettings, argv: list[str] | None = None) -> Agent:
        started.append(Agent(argv or agent.command(settings)))
        return started[-1]

    yield start
    for each in started:
        with each.process:
            each.process.kill()


def asked(fleet: FleetSettings, question: Callable[[Any], Awaitable[Any]]) -> Any:
    """What a client of the fleet finds."""

    async def ask() -> Any:
        async with asyncio.timeout(120), network.connect(fleet) as client:
            return await question(client)

    return asyncio.run(ask())


async def one_node(client: Any) -> ConnectedNode:
    while True:
        if found := await network.nodes(client):
            return found[0]
        await asyncio.sleep(0.05)


def submit(client: Any, node: ConnectedNode, text: str) -> Any:
    return client.submit(agent.execute, text, key=text, workers=[node.address], pure=False)


def test_deliveries_go_to_the_node_and_its_answers_come_back(
    serving: Start, agents: Callable[..., Agent], tmp_path: Path
) -> None:
    fleet = serving().settings
    started = agents(new_node(fleet, "mini", tmp_path / "mini"))

    async def measure(client: Any) -> tuple[ConnectedNode, list[str]]:
        node = await one_node(client)
        answers = []
        for number in range(3):
            future = submit(client, node, f'{{"job": {number}}}')
            line = await asyncio.to_thread(started.hear)
            started.say(f'{{"answer": {line}}}')
            answers.append(await future)
        return node, answers

    node, answers = asked(fleet, measure)

    assert (node.name, node.labels) == ("mini", LABELS | {"backends": ("faster-whisper",)})
    assert answers == [f'{{"answer": {{"job": {n}}}}}' for n in range(3)]
    assert len(listening(started.process.pid)) == 1
    assert listening(started.process.pid)[0][0] == "127.0.0.1"
    assert psutil.Process(started.process.pid).children() == []  # no nanny

    started.process.stdin.close()  # type: ignore[union-attr]
    started.process.stdin = None
    assert started.end() == (0, "")


@pytest.mark.parametrize("text", ["", "two\nlines", "two\u2028lines", "x" * ((1 << 20) + 1)])
def test_what_is_no_line_never_reaches_the_node(text: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        agent.execute(text)


def test_a_process_that_is_no_agent_executes_nothing() -> None:
    with pytest.raises(RuntimeError, match="no agent"):
        agent.execute("{}")


def test_a_frozen_agent_stays_connected_and_ends_with_its_node(
    serving: Start, agents: Callable[..., Agent], tmp_path: Path
) -> None:
    fleet = serving().settings
    started = agents(new_node(fleet, "mini", tmp_path / "mini"))

    async def measure(client: Any) -> str:
        node = await one_node(client)
        future = submit(client, node, "{}")
        await asyncio.to_thread(started.hear)
        started.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)
        assert [each.name for each in await network.nodes(client)] == ["mini"]
        started.process.send_signal(signal.SIGCONT)
        started.say("done")
        answer: str = await future
        return answer

    assert asked(fleet, measure) == "done"


NODE = """
import json, os, signal, subprocess, sys, time
agent = subprocess.Popen(
    sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
)
agent.stdin.write("{}\\n")
agent.stdin.flush()
agent.stdout.readline()
agent.send_signal(signal.SIGSTOP)
print(agent.pid, flush=True)
time.sleep(600)
"""


def is_(pid: int, status: str) -> bool:
    return bool(psutil.Process(pid).status() == status)


@pytest.mark.skipif(sys.platform != "linux", reason="an orphan's SIGHUP needs a session of its own")
def test_an_agent_that_is_frozen_ends_when_its_node_is_killed(
    serving: Start, tmp_path: Path
) -> None:
    fleet = serving().settings
    argv = agent.command(new_node(fleet, "mini", tmp_path / "mini"))
    with subprocess.Popen(
        [sys.executable, "-c", NODE, *argv], stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdout is not None

        async def deliver(client: Any) -> int:
            future = submit(client, await one_node(client), "{}")
            frozen = int(await asyncio.to_thread(node.stdout.readline))  # type: ignore[union-attr]
            await asyncio.to_thread(wait_until, lambda: is_(frozen, psutil.STATUS_STOPPED))
            node.kill()
            # The only worker that may do it is gone: the scheduler does not wait for another one.
            error = await future.exception()
            assert type(error).__name__ == "KilledWorker"
            return frozen

        frozen = asked(fleet, deliver)
    wait_until(lambda: not psutil.pid_exists(frozen) or is_(frozen, psutil.STATUS_ZOMBIE))


def test_an_agent_ends_when_the_scheduler_does(
    serving: Start, agents: Callable[..., Agent], tmp_path: Path
) -> None:
    running = serving()
    started = agents(new_node(running.settings, "mini", tmp_path / "mini"))
    asked(running.settings, one_node)

    running.process.kill()

    assert started.process.wait(60) == 0  # while its node is still there
    assert started.end() == (0, "")


JOIN = [sys.executable, "-m", "mac_whisper_speedtest", "fleet", "join"]


def joining(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command on the machine whose data folder this is."""
    return subprocess.Popen(
        [*JOIN, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SPEEDTEST_DATA_DIR": str(folder)},
    )


def test_a_machine_joins_with_its_package_and_leaves_with_ctrl_c(
    serving: Start, tmp_path: Path
) -> None:
    fleet = serving().settings
    package = tmp_path / "fleet-mini.zip"
    certificate = certificates.issue(fleet, "mini")
    fleet_settings.write_package(package, fleet_settings.package_of(fleet, "mini", certificate))

    with joining(tmp_path / "mini", "--from", package) as node:
        found = asked(fleet, one_node)
        started = psutil.Process(node.pid).children(recursive=True)
        node.send_signal(signal.SIGINT)
        said, _ = node.communicate(timeout=60)

    assert node.returncode == ExitCode.INTERRUPTED, said
    assert found.name == "mini"
    assert found.labels["known"]["node"] == "mini"
    assert "delete it" in said
    assert not any(each.is_running() for each in started)


def test_a_machine_that_the_fleet_refuses_is_told_why(serving: Start, tmp_path: Path) -> None:
    other = new_fleet(tmp_path / "other")
    new_node(other, "mini", tmp_path / "mini" / "fleet")

    with joining(tmp_path / "mini", serving().settings.scheduler) as node:
        said, _ = node.communicate(timeout=60)

    assert node.returncode == ExitCode.USAGE, said
    assert "is of another fleet" in said
    assert "speedtest fleet init --node mini" in said


# What the scheduler does not accept


def test_a_name_is_taken_once(serving: Start, agents: Callable[..., Agent], tmp_path: Path) -> None:
    fleet = serving().settings
    agents(new_node(fleet, "mini", tmp_path / "a"))
    asked(fleet, one_node)

    second = agents(new_node(fleet, "mini", tmp_path / "b"))

    code, reason = second.end()
    assert code == ExitCode.USAGE, reason
    assert "the fleet has a node mini already" in reason
    assert asked(fleet, one_node).name == "mini"


def test_a_strange_node_is_refused_for_good(
    serving: Start, agents: Callable[..., Agent], tmp_path: Path
) -> None:
    fleet = serving().settings
    other = new_fleet(tmp_path / "other")
    strange = replace(new_node(other, "mini", tmp_path / "mini"), scheduler=fleet.scheduler)
    late = with_certificate(
        fleet, Part.NODE, certificates.issue(fleet, "late", days=-1), tmp_path / "late"
    )

    for settings, reason in ((strange, "is of another fleet"), (late, "it has expired")):
        code, said = agents(settings).end()
        assert (code, reason in said) == (ExitCode.USAGE, True), said
    assert asked(fleet, network.nodes) == []


def test_another_version_of_dask_is_refused_with_what_to_install(
    serving: Start, agents: Callable[..., Agent], tmp_path: Path
) -> None:
    fleet = serving().settings
    argv = agent.command(new_node(fleet, "mini", tmp_path / "mini"))
    code = (
        "import sys, importlib.metadata as found\n"
        "real = found.version\n"
        "found.version = lambda name: '2020.1' if name == 'distributed' else real(name)\n"
        "from mac_whisper_speedtest.fleet import agent\n"
        "sys.exit(agent.main(sys.argv[1:]))"
    )

    ended, reason = agents(fleet, [sys.executable, "-c", code, *argv[3:]]).end()

    assert ended == ExitCode.USAGE, reason
    assert "this machine 2020.1" in reason
    assert "pip install dask==" in reason


def test_a_scheduler_that_is_not_there_is_no_refusal(
    agents: Callable[..., Agent], tmp_path: Path
) -> None:
    ended, reason = agents(new_node(new_fleet(tmp_path / "a"), "mini", tmp_path / "mini")).end()

    assert ended == ExitCode.DOWNLOAD
    assert "cannot reach the scheduler" in reason


def test_an_agent_whose_node_says_nothing_ends(tmp_path: Path) -> None:
    argv = agent.command(new_fleet(tmp_path))
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, b"")


# How silent it is


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's counters of switches")
def test_an_agent_that_waits_wakes_up_rarely(
    serving: Start, agents: Callable[..., Agent], tmp_path: Path
) -> None:
    """Dask's own settings make it 100 times a second; benchmarks/fleet_quiet.py has the figures."""
    fleet = serving().settings
    started = agents(new_node(fleet, "mini", tmp_path / "mini"))
    asked(fleet, one_node)
    time.sleep(3)

    def switches() -> int:
        return sum(
            int((task / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
            for task in Path(f"/proc/{started.process.pid}/task").iterdir()
        )

    before = switches()
    time.sleep(5)
    assert switches() - before <= 25
