"""Where does the time of a run go?

    python benchmarks/run_time.py [--backend NAME ...] [--model tiny.en] [-o FILE.json]
        [-- OPTION ...]

Runs `speedtest run` as a user does, in a separate data folder, and adds up the journal. The script
prints the wall time of the whole command, its ratio to the necessary work (starting processes,
importing, loading, warming up, timing: by the tool's clock around each call), and the share of each
part. Target: a ratio of at most 1.05. Options after `--` go to the command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import msgspec

from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import TimedEvent

MEASURING = ("process start", "import", "load", "warm-up", "timed")


def parts(lines: list[TimedEvent]) -> dict[str, float]:
    """Part → its seconds, from the first worker's start to the last line of a journal."""
    found: defaultdict[str, float] = defaultdict(float)
    now_s = lines[0].at_s or 0.0
    for line in lines:
        event, since_s = line.event, (line.at_s or now_s) - now_s
        now_s += since_s
        if isinstance(event, s.Loaded):
            found["process start"] += event.spawn_s or 0.0
            found["import"] += event.hello_wall_s - (event.spawn_s or 0.0)
            found["load"] += event.load_wall_s
            since_s -= event.hello_wall_s + event.load_wall_s
        elif isinstance(event, s.Sample):
            found["warm-up" if event.kind == "warmup" else "timed"] += event.wall_s
            since_s -= event.wall_s
        elif isinstance(event, s.Effective):
            # A call's answer is recorded after its settings, so both belong to the call.
            now_s -= since_s
            continue
        ending = isinstance(event, s.WorkerEnded)
        between = isinstance(event, s.RoundWatched | s.WorkerStarted | s.RunEnded)
        where = "process end" if ending else "between processes" if between else "in processes"
        found[where] += since_s
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", action="append", default=[])
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--output", "-o", type=Path)
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    chosen = [word for name in arguments.backend for word in ("-b", name)]
    command = [sys.executable, "-m", "mac_whisper_speedtest", "run", "--model", arguments.model]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [*command, *chosen, *arguments.options],
            env={**os.environ, "SPEEDTEST_DATA_DIR": folder},
            check=False,
        )
        wall_s = time.perf_counter() - began
        runs = sorted((Path(folder) / "runs").iterdir())
        if done.returncode or len(runs) != 1:
            return done.returncode or 1
        lines = RunDirectory(runs[0]).journal().lines
    found = parts(lines)
    found["tool's start and end"] = wall_s - sum(found.values())
    measuring_s = sum(found[name] for name in MEASURING)
    samples = [line.event for line in lines if isinstance(line.event, s.Sample)]
    processes = sum(isinstance(line.event, s.Loaded) for line in lines)
    warm_ups = sum(each.kind == "warmup" for each in samples)
    print(
        f"{wall_s:.1f} s in all, {wall_s / measuring_s:.3f} times what measuring took; "
        f"{processes} processes, {warm_ups} warm-up calls, {len(samples) - warm_ups} timed"
    )
    for name, seconds in sorted(found.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<22}{seconds:8.2f} s {seconds / wall_s:7.1%}")
    if arguments.output:
        document = {
            "machine": msgspec.to_builtins(describe.describe()),
            "options": arguments.options,
            "wall_s": wall_s,
            "ratio": wall_s / measuring_s,
            "parts_s": dict(found),
            "processes": processes,
            "warm_up_calls": warm_ups,
            "timed_calls": len(samples) - warm_ups,
            "load_average": os.getloadavg(),
        }
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
