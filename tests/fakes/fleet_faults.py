"""What goes wrong in a fleet, while its node ``a`` measures: each fault, and how it is mended.

``benchmarks/fleet_faults.py`` goes through all of them, the suite through some that take seconds.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from conftest import describe_fake
from fakes.fleets import TOOL, Account, Fleet, Machine, Network, Program, wait_until

JOBS = 4
LOST_AFTER_S = 5
"""So that a node which never comes back costs seconds; five minutes unless asked otherwise."""


@dataclass
class Scene:
    """A fleet of two nodes that works on its jobs."""

    fleet: Fleet
    nodes: dict[str, Program]
    run: Program
    words: list[object]

    @property
    def a(self) -> Machine:
        """The machine of the node that the fault is about."""
        return self.fleet.nodes["a"]

    def join(self, name: str) -> None:
        """Start a node."""
        self.nodes[name] = self.fleet.join(name)

    def again(self) -> None:
        """Give the same command again."""
        self.run = self.fleet.run(*self.words)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: in a table.
        happen: lets it happen, and mends it, while node ``a`` measures.
        crashed: attempts that must have ended as crashed, at least.
        in_suite: whether the suite has this one: together they kill every process once.
    """

    name: str
    happen: Callable[[Scene], None]
    crashed: int = 0
    in_suite: bool = False


def _kill(processes: list[psutil.Process]) -> None:
    assert processes, "there is no such process"
    for process in processes:
        process.kill()


def _agent_killed(scene: Scene) -> None:
    _kill(scene.a.agents())


def _measurement_killed(scene: Scene) -> None:
    _kill(scene.a.measurements())


def _node_killed(scene: Scene) -> None:
    _kill(scene.a.nodes())
    wait_until(lambda: not scene.a.agents() and not scene.a.measurements(), 20)
    scene.join("a")


def _node_gone(scene: Scene) -> None:
    _kill(scene.a.nodes())


def _machine_crashed(scene: Scene) -> None:
    scene.a.crash()
    scene.join("a")


def _scheduler_killed(scene: Scene) -> None:
    scene.fleet.scheduler.process.kill()
    time.sleep(3)
    scene.fleet.scheduler = scene.fleet.serve()


def _client_killed(scene: Scene) -> None:
    scene.run.process.kill()
    time.sleep(3)
    scene.again()


def _all_at_once(scene: Scene) -> None:
    scene.run.process.kill()
    scene.fleet.scheduler.process.kill()
    _kill(scene.a.agents())
    scene.fleet.scheduler = scene.fleet.serve()
    scene.again()


def _link_down(seconds: float) -> Callable[[Scene], None]:
    def happen(scene: Scene) -> None:
        scene.a.cut()
        time.sleep(seconds)
        scene.a.mend()

    return happen


def _asleep(seconds: float) -> Callable[[Scene], None]:
    def happen(scene: Scene) -> None:
        scene.a.sleep()
        time.sleep(seconds)
        scene.a.wake()

    return happen


def _storage_gone(scene: Scene) -> None:
    storage = Path(scene.fleet.storage)
    away = storage.rename(storage.with_name("away"))
    time.sleep(10)
    away.rename(storage)


FAULTS = [
    Fault("none", lambda _scene: None),
    Fault("agent killed", _agent_killed),
    Fault("measurement killed", _measurement_killed, crashed=1, in_suite=True),
    Fault("node killed, joins again", _node_killed, in_suite=True),
    Fault("node killed for good", _node_gone),
    Fault("machine crashed, joins again", _machine_crashed),
    Fault("scheduler killed, served again", _scheduler_killed),
    Fault("client killed, same command again", _client_killed),
    Fault("client, scheduler and agent killed", _all_at_once, in_suite=True),
    Fault("link down for 5 s", _link_down(5)),
    Fault("storage away for 10 s", _storage_gone),
    Fault("link down for 45 s", _link_down(45)),
    Fault("asleep for 10 s", _asleep(10)),
    Fault("asleep for 60 s", _asleep(60)),
]


def play(
    fault: Fault, folder: Path, limit_s: float = 400, python: str = sys.executable
) -> tuple[Account, float]:
    """Let a fault happen to a fleet at work, and return what became of its jobs, and seconds.

    Args:
        fault: what happens.
        folder: an empty one.
        limit_s: how long the jobs may take after it.
        python: the interpreter of node ``b``.

    Raises:
        TimeoutError: the jobs were not done in time.
    """
    with Network(folder) as network:
        fleet = Fleet(network, ["a", "b"])
        backend = describe_fake(folder, "steady")
        words = ["--backend", backend, "--rounds", 1, "--passes", 1, "--on", "node=~[ab]"]
        words += ["--repeat", JOBS, "--lost-after", f"{LOST_AFTER_S}s"]
        nodes = {"a": fleet.join("a"), "b": fleet.join("b", program=(python, *TOOL[1:]))}
        scene = Scene(fleet, nodes, fleet.run(*words), words)
        wait_until(scene.a.measurements, limit_s)
        began = time.monotonic()
        fault.happen(scene)
        status, output = scene.run.wait(limit_s)
        assert status == 0, output
        took_s = time.monotonic() - began
        for machine in fleet.nodes.values():
            assert not overlaps(machine), f"two measurements at a time on {machine.name}"
        return fleet.account(), took_s


def overlaps(machine: Machine) -> list[tuple[str, str]]:
    """Pairs of runs of a machine that measured at the same time, by their journals."""
    spans = []
    for journal in (machine.data / "runs").glob("*/journal.jsonl"):
        *_, last = journal.read_text(encoding="utf-8").splitlines() or [""]
        if last.endswith("}"):
            end = journal.stat().st_mtime  # when the last line was written
            spans.append((end - json.loads(last)["at_s"], end, journal.parent.name))
    spans.sort()
    return [
        (before[2], after[2]) for before, after in itertools.pairwise(spans) if after[0] < before[1]
    ]
