"""How does the time to process results grow with the size of a run?

    python benchmarks/growth.py [--only PART] [--other FOLDER] [-o FILE.json]

Runs of known truth and increasing size are created in a temporary folder. Each size is timed in a
separate process, three times, of which the shortest counts. Times are CPU seconds, because others
share the machine:

- utterances: a run of three cells and two rounds on 10, 100, 1000 and 5000 recordings;
- passes: one recording, up to 100 000 samples in one cell, of which every fiftieth is an outlier;
- rounds: one recording and three cells in up to 1000 rounds;
- cells: one recording, two rounds, and up to 100 cells that are ranked;
- index: a folder of up to 10 000 runs: all read, none read, one found;
- leaderboard: up to 1000 bundles, from the files to the pages.

The script prints the seconds for each size, and the exponent of each step, fitted to the sizes that
took at least 10 ms: time grows with size ** exponent. Target: at most 1.1, except for steps marked
"(pairs)", which compare every cell with every other. With --other, the checkout in that folder is
timed in turn with this one, and the ratios other / this are printed too.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parents[1]
TIMES = 3
FLOOR_S = 0.01
"""Shorter times show constant costs rather than growth."""
SIZES = {
    "utterances": (10, 100, 1000, 5000),
    "passes": (1000, 10_000, 100_000),
    "rounds": (10, 100, 1000),
    "cells": (10, 30, 100),
    "index": (100, 1000, 10_000),
    "leaderboard": (10, 100, 1000),
}
OUTLIER_EVERY, OUTLIER = 50, 3.0

CACHED = type(functools.cache(len))
Steps = dict[str, Callable[[], object]]


def run_of_size(part: str, size: int) -> Any:
    """The manifest and the journal of a run."""
    from fakes.recordings import collection
    from fakes.runs import FakeCell, FakeRun, run_of
    from mac_whisper_speedtest.results import schema as s

    if part == "utterances":
        said = sentences(size)
        cells = [FakeCell(f"backend-{each}", text=misheard(said, each)) for each in range(3)]
        return run_of(*cells, speech=collection(said), rounds=2, passes=1)
    if part == "rounds":
        return run_of(*(FakeCell(f"backend-{each}") for each in range(3)), rounds=size, passes=1)
    if part == "cells":
        return run_of(*(FakeCell(f"backend-{each}") for each in range(size)), rounds=10, passes=1)
    made = run_of(FakeCell("backend"), rounds=2, passes=size // 2)
    events = [
        msgspec.structs.replace(
            event, seconds=event.seconds * OUTLIER, wall_s=event.wall_s * OUTLIER
        )
        if isinstance(event, s.Sample) and number % OUTLIER_EVERY == 0
        else event
        for number, event in enumerate(made.events)
    ]
    return FakeRun(made.manifest, events)


def sentences(count: int) -> dict[str, str]:
    """Recording → its text."""
    chance = random.Random(1)
    letters = "abcdefghiklmnoprstuw"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(3000)]
    return {
        f"utterance-{each:05d}": f"{' '.join(chance.choices(words, k=20)).capitalize()}."
        for each in range(count)
    }


def misheard(said: dict[str, str], seed: int) -> dict[str, str]:
    """The same with one word in twenty doubled."""
    chance = random.Random(seed)
    return {
        name: " ".join(word * (1 + (chance.random() < 0.05)) for word in text.split())
        for name, text in said.items()
    }


def of_run(part: str, size: int) -> Steps:
    """The steps of processing a run of that size."""
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.export import files, tables
    from mac_whisper_speedtest.report.html.report import render_report
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.summary.summarize import summarize

    there = directory.create()
    run_of_size(part, size).write(there.path)
    replayed = there.replay()
    run = summarize(replayed)
    there.seal(run)
    table = there.path / "cells.csv"
    return {
        "replay": there.replay,
        "summarize": lambda: summarize(replayed),
        "seal": lambda: there.seal(run),
        "load": lambda: sources.load("latest"),
        "page": lambda: render_report(run, label="1"),
        "export": lambda: files.save([run], table, files.format_of(table), tables.named("samples")),
    }


def of_index(size: int) -> Steps:
    """The steps of a folder of runs."""
    from fakes.runs import run_of_set
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.store.index import open_index

    made = run_of_set(*two(), rounds=1, passes=1)
    for number in range(1, size + 1):
        there = directory.create()
        head = msgspec.structs.replace(
            made.manifest,
            run=number,
            run_id=f"{number:032x}",
            tags=["first"] if number == 1 else [],
        )
        type(made)(head, made.events).write(there.path)

    def opened(action: Callable[[Any], object]) -> Callable[[], object]:
        def step() -> None:
            with open_index(refresh=False) as index:
                action(index)

        return step

    return {
        "reindex": opened(lambda index: index.refresh(everything=True)),
        "refresh": opened(lambda index: index.refresh()),
        "list": opened(lambda index: index.runs()),
        "oldest tag": lambda: directory.find("first"),
    }


def two() -> list[Any]:
    """Cells of the small runs."""
    from fakes.runs import FakeCell

    return [FakeCell("faster-whisper"), FakeCell("whisper.cpp", rtf=0.12)]


def of_leaderboard(size: int) -> Steps:
    """The steps of a leaderboard over ``size`` bundles, of ten kinds of machines."""
    from fakes.runs import given
    from mac_whisper_speedtest.bundle import write
    from mac_whisper_speedtest.leaderboard import build, intake, site

    folder = Path(os.environ["SPEEDTEST_DATA_DIR"])
    bundles = folder / "bundles"
    bundles.mkdir()
    for number in range(1, size + 1):
        cpu = f"Processor {number % 10}"
        there = given(
            folder / f"run-{number}",
            backends=two(),
            public=True,
            number=number,
            rounds=6,
            passes=1,
            machine={"cpu": cpu},
        )
        write.write_bundle(there, bundles / f"{number}.zip")
    read = intake.read_bundles(intake.find_bundles([str(bundles)]))
    assert len(read.accepted) == size, read.refused[:1]
    board = build.build_leaderboard(read.accepted)
    return {
        "intake": lambda: intake.read_bundles(intake.find_bundles([str(bundles)])),
        "build": lambda: build.build_leaderboard(read.accepted),
        "site": lambda: site.site_files(board, read),
    }


def measure(part: str, size: int) -> dict[str, float]:
    """Seconds of each step, the shortest of several; and the peak memory in bytes."""
    sys.path.insert(0, str(Path(os.environ["PYTHONPATH"]).parent / "tests"))
    if part == "index":
        steps = of_index(size)
    elif part == "leaderboard":
        steps = of_leaderboard(size)
    else:
        steps = of_run(part, size)
    found = {}
    for name, step in steps.items():
        taken: list[float] = []
        while len(taken) < TIMES and sum(taken) < 30:
            forget()
            began = time.process_time()
            step()
            taken.append(time.process_time() - began)
        found[name] = min(taken)
    return found


def forget() -> None:
    """Empty all function caches, as at the start of a command.

    Otherwise a small run, whose texts all fit into the caches, would have an advantage.
    """
    for each in gc.get_objects():
        if isinstance(each, CACHED):
            each.cache_clear()


def in_child(checkout: Path, part: str, size: int) -> dict[str, float]:
    """The same in a process with the code of ``checkout`` and a separate data folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--part", part, "--size", str(size)],
            capture_output=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout / "src"),
                "SPEEDTEST_DATA_DIR": folder,
                "SPEEDTEST_RETAKE": "0",
            },
        )
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    found: dict[str, float] = json.loads(done.stdout)
    return found


def exponent(seconds: dict[int, float]) -> float | None:
    """The slope of log seconds over log size; ``None`` for fewer than two sizes."""
    known = {size: each for size, each in seconds.items() if each >= FLOOR_S}
    if len(known) < 2:
        return None
    sizes, times = ([math.log(each) for each in values] for values in (known, known.values()))
    return statistics.linear_regression(sizes, times).slope


def lines(part: str, found: dict[str, dict[int, float]]) -> Iterator[str]:
    """A line per step."""
    for step, seconds in found.items():
        grows = exponent(seconds)
        said = "too short to judge" if grows is None else f"exponent {grows:.2f}"
        if (part, step) == ("cells", "summarize"):
            said += " (pairs)"
        sizes = ", ".join(f"{size}: {each:.3f} s" for size, each in seconds.items())
        yield f"{part:<12}{step:<11}{said:<23}{sizes}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=SIZES)
    parser.add_argument("--largest", type=int, default=10**6, help="leave out sizes above")
    parser.add_argument("--other", type=Path, help="another checkout of this project")
    parser.add_argument("--output", "-o", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measure(arguments.part, arguments.size)))
        return 0
    checkouts = {"this": HERE} | ({"other": arguments.other} if arguments.other else {})
    results: dict[str, Any] = {}
    for part in [arguments.only] if arguments.only else SIZES:
        found: dict[str, dict[str, dict[int, float]]] = {name: {} for name in checkouts}
        for size in SIZES[part]:
            if size > arguments.largest:
                continue
            for name, checkout in checkouts.items():
                for step, taken in in_child(checkout.resolve(), part, size).items():
                    found[name].setdefault(step, {})[size] = taken
        for name, steps in found.items():
            if len(found) > 1:
                print(name)
            print("\n".join(lines(part, steps)), flush=True)
        if arguments.other:
            for step, seconds in found["this"].items():
                ratios = {size: found["other"][step][size] / each for size, each in seconds.items()}
                said = ", ".join(f"{size}: {each:.2f}" for size, each in ratios.items())
                print(f"{part:<12}{step:<11}other / this      {said}", flush=True)
        results[part] = found
    if arguments.output:
        from mac_whisper_speedtest.machine import describe

        machine = msgspec.to_builtins(describe.describe())
        document = {"machine": machine, "seconds": results}
        arguments.output.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
