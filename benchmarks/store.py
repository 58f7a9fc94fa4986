"""What does it cost to store a million samples, and to search them?

    python benchmarks/store.py [--runs 500] [--cells 10] [--samples 200] [-o FILE.json]

Runs are created in a temporary folder, as `speedtest run` writes them: a manifest and a journal
each. The timed operations:

- append: one line of a journal from the event to the disk, and its wait for the disk;
- reindex: a new index, by reading every run and computing every figure;
- refresh: the check of an unchanged index, with which every command begins;
- leaderboard: the best of every backend and model in each kind of machine, by the index;
- list: every run's row; tag and id: the newest and the oldest run by `directory.find`, which reads
  manifests and no index.

Each part is a separate process with its own peak memory. Target: a leaderboard in less than 1 s,
and a peak memory that does not grow with the number of runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.events import sample
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest import files
from mac_whisper_speedtest.machine import describe as machine
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.store.index import open_index

ROUNDS = 10
MACHINES = 4
APPENDS = 500
TIMES = 15


def make(runs: int, cells: int, samples: int) -> dict[str, Any]:
    """Write the runs without waiting for the disk at each line, which saves time."""
    backends = [FakeCell(f"backend-{number}") for number in range(cells)]
    encoder = msgspec.json.Encoder()
    size = 0
    for number in range(runs):
        run = directory.create()
        made = run_of(
            *backends,
            number=run.number,
            rounds=ROUNDS,
            passes=samples // ROUNDS,
            tags=["first"] if number == 0 else ["last"] if number == runs - 1 else [],
            machine={"cpu": f"Processor {number % MACHINES}"},
        )
        run.write_manifest(made.manifest)
        lines = [encoder.encode(event) + b"\n" for event in made.events]
        run.journal_path.write_bytes(b"".join(lines))
        size += run.journal_path.stat().st_size
    return {"journal_bytes": size}


def append() -> dict[str, Any]:
    """Seconds per line, and the seconds of it that waited for the disk."""
    sync, in_sync = files.sync, 0.0

    def timed(handle: Any) -> None:
        nonlocal in_sync
        began = time.perf_counter()
        sync(handle)
        in_sync += time.perf_counter() - began

    with tempfile.TemporaryDirectory(dir=directory.runs_dir()) as folder:
        files.sync = timed
        try:
            taken, synced = [], []
            with Journal(Path(folder) / "journal.jsonl") as book:
                for index in range(APPENDS):
                    event = sample("backend-0/tiny.en/speech", index, 1.0, 0)
                    in_sync, began = 0.0, time.perf_counter()
                    book.append(event)
                    taken.append(time.perf_counter() - began)
                    synced.append(in_sync)
        finally:
            files.sync = sync
    return {"append_s": taken, "sync_s": synced}


def reindex() -> dict[str, Any]:
    """A new index."""
    with open_index(refresh=False) as index:
        began, began_cpu = time.perf_counter(), time.process_time()
        done = index.refresh(everything=True)
        taken, taken_cpu = time.perf_counter() - began, time.process_time() - began_cpu
        assert index.path is not None
        path = index.path
    return {
        "seconds": taken,
        "cpu_s": taken_cpu,
        "runs": done.read,
        "samples": done.samples,
        "index_bytes": path.stat().st_size,
    }


def query() -> dict[str, Any]:
    """Common queries of an existing index."""
    with open_index(refresh=False) as index:
        hardware = {row.number: row.hardware for row in index.runs()}

        def leaderboard() -> None:
            best: dict[tuple[str, str, str, str], float] = {}
            for row in index.cells():
                cell, figures = row.cell, row.cell.summary
                if figures is None or figures.rank is None or figures.fast_but_wrong:
                    continue
                contract = str(cell.contract.requested["name"])
                key = (hardware[row.number], contract, cell.model.name, cell.backend.name)
                best[key] = max(best.get(key, 0.0), figures.rtfx or 0.0)
            assert sorted(best.items(), key=lambda each: -each[1])

        return {
            "leaderboard_s": times(leaderboard),
            "refresh_s": times(index.refresh),
            "list_s": times(index.runs),
            "newest_tag_s": times(lambda: directory.find("last")),
            "oldest_tag_s": times(lambda: directory.find("first")),
        }


def times(action: Callable[[], object]) -> list[float]:
    """Seconds of several calls, after one that is not counted."""
    action()
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return taken


def in_child(arguments: argparse.Namespace, part: str) -> dict[str, Any]:
    """The results of one part, and its memory."""
    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("runs", "cells", "samples")]
    done = subprocess.run(
        [sys.executable, __file__, *sizes, "--part", part], capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peak_bytes() -> int:
    """The highest resident memory of this process; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--samples", type=int, default=200, help="timed ones per cell")
    parser.add_argument("--output", "-o", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "make": lambda: make(arguments.runs, arguments.cells, arguments.samples),
        "append": append,
        "reindex": reindex,
        "query": query,
    }
    if arguments.part:
        found = parts[arguments.part]()
        print(json.dumps({**found, "peak_bytes": peak_bytes()}))
        return 0
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPEEDTEST_DATA_DIR"] = folder
        for part in parts:
            results[part] = in_child(arguments, part)
            print(f"{part:<8} {describe(part, results[part])}", flush=True)
    if arguments.output:
        asked = {name: getattr(arguments, name) for name in ("runs", "cells", "samples")}
        document = {
            "machine": msgspec.to_builtins(machine.describe()),
            "asked": asked,
            "results": results,
        }
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


def describe(part: str, found: dict[str, Any]) -> str:
    """One part's figures in a line."""
    memory = f"peak memory {found['peak_bytes'] / 1e6:.0f} MB"
    if part == "make":
        return f"{found['journal_bytes'] / 1e6:.0f} MB of journals; {memory}"
    if part == "append":
        total, synced = (statistics.median(found[name]) for name in ("append_s", "sync_s"))
        return f"{total * 1e3:.2f} ms a line, {synced * 1e3:.2f} ms of it fsync; {memory}"
    if part == "reindex":
        rate = found["runs"] / found["seconds"], found["samples"] / found["seconds"]
        took = f"{found['seconds']:.1f} s ({found['cpu_s']:.1f} s of processor)"
        return (
            f"{took} for {found['runs']} runs and {found['samples']} samples: "
            f"{rate[0]:.2f} runs/s, {rate[1]:.0f} samples/s; "
            f"index {found['index_bytes'] / 1e6:.1f} MB; {memory}"
        )
    medians = (
        f"{name.removesuffix('_s')} {statistics.median(each) * 1e3:.0f} ms"
        for name, each in found.items()
        if name.endswith("_s")
    )
    return f"{', '.join(medians)}; {memory}"


if __name__ == "__main__":
    sys.exit(main())
