"""How many nodes can one scheduler and one coordinator serve?

    python benchmarks/fleet_scale.py [--nodes 300] [--processes 2] [--jobs 3] [-o FILE.json]

Simulated nodes join a fleet: Dask workers as agents have them, with labels, over TLS, many to a
process. Then the coordinator of `speedtest fleet run` gives each so many jobs, one at a time. A job
takes 2 s and does nothing (tests/fakes/naps.py), so what is above --jobs × 2 s is what delivery
costs: the scheduler, the coordinator with its ledger, and the simulated nodes themselves, all on
this machine. Target: 300 nodes join in less than 10 s and do 900 jobs in less than 8 s. With
--profile FILE, what the coordinator does in that time is written there for pstats.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.fleet import coordinator, network, settings
from mac_whisper_speedtest.fleet.job import Job
from mac_whisper_speedtest.fleet.labels import Labels
from mac_whisper_speedtest.fleet.ledger import JobState, Ledger
from mac_whisper_speedtest.fleet.settings import Part
from mac_whisper_speedtest.machine import describe

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import naps

CHIPS = 4
READY_S = 120


async def simulate(first: int, count: int) -> None:
    """Be so many nodes until stdin ends."""
    from distributed import Worker

    own = settings.load()
    network.configure()

    def labels_of(number: int) -> Any:
        async def labels(_worker: Worker) -> dict[str, Any]:
            known: dict[str, int | str | tuple[str, ...]] = {
                "node": f"n{number}",
                "chip": f"m{number % CHIPS}",
                "memory": 16 << 30,
            }
            found: dict[str, Any] = msgspec.to_builtins(Labels(known=known))
            return found

        return labels

    workers = [
        Worker(
            own.scheduler,
            nthreads=1,
            name=f"n{number}",
            security=network.security(own),
            host="127.0.0.1",
            dashboard=False,
            startup_information={"fleet": labels_of(number)},
        )
        for number in range(first, first + count)
    ]
    print("made", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*workers)
    print("joined", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def measure(
    folder: Path, nodes: list[subprocess.Popen[str]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Let the nodes join and work; return how long that took."""
    count = arguments.nodes
    for process in nodes:
        expect(process, "made")
    async with network.connect(settings.load()) as client:
        began = time.perf_counter()
        for process in nodes:
            tell(process)
        await client.wait_for_workers(count, timeout=READY_S)
        join_s = time.perf_counter() - began
        for process in nodes:
            expect(process, "joined")
        jobs = [
            Job(
                request={"models": ["tiny.en"]},
                to=str(folder),
                on=(f"chip=m{number % CHIPS}",),
                repetition=number // CHIPS,
            )
            for number in range(arguments.jobs * count)
        ]
        ledger = Ledger(folder / "ledger.sqlite")
        profile = cProfile.Profile() if arguments.profile else None
        began, busy = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        if profile:
            profile.enable()
        await coordinator.run_jobs(ledger, client, jobs, task=naps.nap)
        if profile:
            profile.disable()
            profile.dump_stats(arguments.profile)
        work_s = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_SELF)
    done = len(ledger.jobs(JobState.DONE))
    attempts, bundles = ledger.attempts(), ledger.bundles()
    return {
        "nodes": count,
        "processes": len(nodes),
        "join_s": join_s,
        "jobs": len(jobs),
        "work_s": work_s,
        "ideal_s": arguments.jobs * naps.NAP_S,
        "coordinator_cpu_s": used.ru_utime + used.ru_stime - busy.ru_utime - busy.ru_stime,
        "done": done,
        "attempts": len(attempts),
        "bundles": len(bundles),
        "load_average": os.getloadavg(),
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    raise SystemExit(f"a simulated process ended with status {process.wait()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--output", "-o", type=Path)
    parser.add_argument("--simulate", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.simulate:
        asyncio.run(simulate(*arguments.simulate))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPEEDTEST_DATA_DIR"] = folder
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        tool = [sys.executable, "-m", "mac_whisper_speedtest", "fleet"]
        subprocess.run(
            [*tool, "init", f"127.0.0.1:{free_port()}"], check=True, stdout=subprocess.DEVNULL
        )
        found = settings.load()
        shutil.copy2(found.certificate(Part.CLIENT), found.certificate(Part.NODE))
        processes = [
            subprocess.Popen([*tool, "serve"], stdout=subprocess.PIPE, text=True),
        ]
        try:
            expect(processes[0], "Scheduler at")
            share = -(-arguments.nodes // arguments.processes)
            for first in range(0, arguments.nodes, share):
                count = min(share, arguments.nodes - first)
                processes.append(
                    subprocess.Popen(
                        [sys.executable, __file__, "--simulate", str(first), str(count)],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            result = asyncio.run(measure(Path(folder), processes[1:], arguments))
        finally:
            for process in processes:
                process.kill()
                process.wait()
    print(
        f"{result['nodes']} nodes in {result['processes']} processes joined in "
        f"{result['join_s']:.1f} s; "
        f"{result['done']} of {result['jobs']} jobs in {result['work_s']:.1f} s "
        f"(ideal {result['ideal_s']:.1f} s), {result['attempts']} attempts, "
        f"{result['bundles']} bundles, the coordinator computed {result['coordinator_cpu_s']:.1f} s"
    )
    if arguments.output:
        result["machine"] = msgspec.to_builtins(describe.describe())
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if result["done"] == result["jobs"] == result["bundles"] else 1


if __name__ == "__main__":
    sys.exit(main())
