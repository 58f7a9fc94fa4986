"""How long does it take to show a run again, compared with starting Python and its libraries?

    python benchmarks/show.py [--times 7] [--other CHECKOUT] [-o FILE.json]

A sealed run of six cells, 500 recordings and two rounds is created in a temporary folder. Each
command is a separate process, in turn with the others. The script prints the shortest CPU times,
because others share the machine: of Python alone, of Python with the libraries of `show`, of
`show`, and of `report` to a page.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

HERE = Path(__file__).parents[1]
LIBRARIES = "import click, msgspec, rich.console, rich.table, rich.text"
MADE = """
import sys
sys.path[:0] = sys.argv[1:]
import growth
from fakes.recordings import collection
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.summary.summarize import summarize
said = growth.sentences(500)
cells = [FakeCell(f"backend-{each}", text=growth.misheard(said, each)) for each in range(6)]
there = directory.create()
run_of(*cells, speech=collection(said), rounds=2, passes=1).write(there.path)
there.seal(summarize(there.replay()))
"""
TOOL = ["-m", "mac_whisper_speedtest"]


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """CPU seconds of Python with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--other", type=Path, help="another checkout of this project")
    parser.add_argument("--output", "-o", type=Path)
    arguments = parser.parse_args()
    checkouts = {"this": HERE} | ({"other": arguments.other} if arguments.other else {})
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        page = str(Path(folder) / "page.html")
        commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        for name, checkout in checkouts.items():
            source = checkout.resolve()
            environment = {
                **os.environ,
                "PYTHONPATH": str(source / "src"),
                "SPEEDTEST_DATA_DIR": str(Path(folder) / name),
            }
            made = [str(source / "tests"), str(source / "benchmarks")]
            seconds(["-c", MADE, *made], environment)
            commands[f"{name}: show"] = [*TOOL, "show"], environment
            commands[f"{name}: page"] = [*TOOL, "report", "latest", "-o", page], environment
        commands |= {
            "Python": (["-c", "pass"], environment),
            "Python, libraries": (["-c", LIBRARIES], environment),
        }
        for _ in range(arguments.times):
            for name, (words, environment) in commands.items():
                found.setdefault(name, []).append(seconds(words, environment))
    for name, taken in found.items():
        print(f"{name:<20}{min(taken):.3f} s")
    if arguments.output:
        from mac_whisper_speedtest.machine import describe

        machine = msgspec.to_builtins(describe.describe())
        document = {"machine": machine, "load_average": os.getloadavg(), "seconds": found}
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
