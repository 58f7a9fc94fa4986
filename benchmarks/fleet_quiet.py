"""What does a fleet's node cost the machine while it waits, and while it measures?

    python benchmarks/fleet_quiet.py [--seconds 60] [--noise 3] [-o FILE.json]

On a simulated machine of its own (Linux; see tests/fakes/fleets.py) a node joins a fleet, as
`speedtest fleet join` does it. Beside it run Dask's own workers with Dask's defaults. For so many
seconds the wake-ups (voluntary context switches) and the processor time of every thread are counted
(/proc/PID/task/*/status and schedstat): while all wait for work, and then while the node measures
and its agent is frozen. Target: 0 wake-ups of the frozen agent, at most 5 per second of the waiting
one.

With --noise N, `speedtest noise --quick` runs N times with the node on the machine and N times
without, in turns: the noise floor of both should be the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import psutil

from mac_whisper_speedtest.machine import describe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from conftest import describe_fake
from fakes.fleets import Fleet, Machine, Network, wait_until

DASK = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard", "--nthreads", "1"]


@dataclass(frozen=True)
class Activity:
    """What some processes did.

    Attributes:
        wakeups_per_s: how often one of their threads went on after it had waited.
        cpu_percent: processor time, of one core.
        processes: how many there were.
        threads: how many they had.
        resident_mb: their memory, pages that they share counted in each.
    """

    wakeups_per_s: float
    cpu_percent: float
    processes: int
    threads: int
    resident_mb: float


def counters(pid: int) -> dict[tuple[int, str], tuple[int, int]]:
    """Thread → its voluntary context switches and nanoseconds on a processor, so far."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            switches = re.search(
                r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.MULTILINE
            )
            assert switches is not None
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            found[pid, task.name] = int(switches[1]), nanoseconds
    return found


def watch(groups: Mapping[str, list[psutil.Process]], seconds: float) -> dict[str, Activity]:
    """What each group of processes does in that time; threads that begin in it count from 0."""
    pids = {name: [each.pid for each in group] for name, group in groups.items()}

    def read() -> dict[str, dict[tuple[int, str], tuple[int, int]]]:
        return {
            name: {key: value for pid in group for key, value in counters(pid).items()}
            for name, group in pids.items()
        }

    before, began = read(), time.monotonic()
    time.sleep(seconds)
    after, took_s = read(), time.monotonic() - began
    found = {}
    for name, group in groups.items():
        old, new = before[name], after[name]
        switches = sum(value[0] - old.get(key, (0, 0))[0] for key, value in new.items())
        busy_ns = sum(value[1] - old.get(key, (0, 0))[1] for key, value in new.items())
        found[name] = Activity(
            wakeups_per_s=switches / took_s,
            cpu_percent=busy_ns / took_s / 1e7,
            processes=len(group),
            threads=len(new),
            resident_mb=sum(each.memory_info().rss for each in group) / 1e6,
        )
    return found


def tree(root: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    return [root, *root.children(recursive=True)]


def quiet(network: Network, seconds: float) -> dict[str, Activity]:
    """All groups: waiting, and then with the agent frozen."""
    fleet = Fleet(network, ["node"])
    machine = fleet.nodes["node"]
    dask = network.add("dask")
    scheduler = dask.start(
        *("--no-dashboard", "--host", dask.address, "--port", "8700"),
        program=[sys.executable, "-m", "distributed.cli.dask_scheduler"],
    )
    to = f"tcp://{dask.address}:8700"
    with_nanny = dask.start(to, "--nanny", program=DASK)
    without = dask.start(to, "--no-nanny", program=DASK)
    fleet.join("node")
    fleet.wait_for_nodes(1)
    time.sleep(20)  # Dask's own start, and the first heartbeats
    groups = {
        "agent, waiting": machine.agents(),
        "node, waiting": machine.nodes(),
        "Dask worker, defaults, no nanny": [without.process],
        "Dask worker, defaults, with nanny": tree(with_nanny.process),
        "scheduler of ours, one node": [fleet.scheduler.process],
        "Dask scheduler, defaults, two workers": [scheduler.process],
    }
    found = watch(groups, seconds)
    backend = describe_fake(network.folder, "endless", fault="hang_in_transcribe")
    limits = ("--timeout", f"{seconds + 60:g}s", "--rounds", 1)
    fleet.run("--backend", backend, *limits, "--on", "node=node")
    wait_until(lambda: any(_stopped(each) for each in machine.agents()))
    time.sleep(10)  # until the measurement has its worker
    found |= watch({"agent, frozen": machine.agents(), "node, measuring": machine.nodes()}, seconds)
    assert all(_stopped(each) for each in machine.agents()), "the agent was thawed meanwhile"
    return found


def _stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def noise(network: Network, times: int) -> dict[str, list[float]]:
    """Noise floors, in percent, with and without a node on the machine, in turns."""
    found: dict[str, list[float]] = {"with a node": [], "without": []}
    fleet = Fleet(network, ["node"])
    machine = fleet.nodes["node"]
    for turn in range(times):
        for name in ("with a node", "without") if turn % 2 else ("without", "with a node"):
            if name == "with a node":
                joined = fleet.join("node")
                fleet.wait_for_nodes(1)
                time.sleep(5)
            found[name].append(floor(machine))
            if name == "with a node":
                joined.stop()
    return found


def floor(machine: Machine) -> float:
    """The noise floor that a machine finds, in percent."""
    output = machine.call(
        *("noise", "--quick", "--model", "tiny.en", "-b", "faster-whisper", "--json"),
        timeout_s=900,
    )
    return 100 * float(json.loads(output[output.index("{") :])["floor"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--noise", type=int, default=0, metavar="N")
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        with Network(Path(folder, "quiet")) as network:
            found = quiet(network, arguments.seconds)
        with Network(Path(folder, "noise")) as network:
            floors = noise(network, arguments.noise)
    print(f"{'':40}{'wake-ups/s':>11}{'CPU %':>8}{'processes':>11}{'MB':>6}")
    for name, each in found.items():
        print(
            f"{name:40}{each.wakeups_per_s:11.2f}{each.cpu_percent:8.3f}"
            f"{each.processes:11}{each.resident_mb:6.0f}"
        )
    for name, each_floor in floors.items():
        print(f"noise {name}: {', '.join(f'{each:.2f} %' for each in each_floor)}")
    if arguments.output:
        document = {
            "machine": msgspec.to_builtins(describe.describe()),
            "seconds": arguments.seconds,
            "activity": {name: asdict(each) for name, each in found.items()},
            "noise_percent": floors,
            "load_average": {"before": load_before, "after": os.getloadavg()},
        }
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    kept = found["agent, frozen"].wakeups_per_s == 0 and found["agent, waiting"].wakeups_per_s <= 5
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
