"""Tools that are killed at any moment: nothing that was promised is missing, nothing is corrupt.

A few seeded points each time; SPEEDTEST_CRASH_POINTS=200 for many.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes import stored_runs
from mac_whisper_speedtest.measure.summarise import summarise
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.store import gc, migrate, verify
from mac_whisper_speedtest.store.index import open_index

POINTS = int(os.environ.get("SPEEDTEST_CRASH_POINTS", "6"))
WRITING = Path(__file__).with_name("writing.py")
SEED = 20261120


def tool(what: str, point: int = 0, kill_after_s: float | None = None) -> list[list[str]]:
    """What a tool promised before it died, word by word."""
    process = subprocess.Popen(
        [sys.executable, str(WRITING), what, str(point)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(WRITING.parents[1])},
    )
    with process:
        if kill_after_s is not None:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(kill_after_s)
            process.kill()
            rest, _ = process.communicate()
            return [line.split() for line in (first + rest).decode().splitlines()]
        said, _ = process.communicate(timeout=120)
    assert process.returncode == (-9 if point else 0)
    return [line.split() for line in said.decode().splitlines()]


def points(what: str) -> list[int]:
    """Seeded points, spread over all that there are."""
    (said,) = (line[1] for line in tool(what) if line[0] == "points")
    total = int(said)
    count = min(POINTS, total)
    rnd = random.Random(SEED)
    return [rnd.randint(1 + total * n // count, total * (n + 1) // count) for n in range(count)]


def check(promised: list[list[str]], before: int) -> None:
    """All that was promised is there, all that is there is sound, and the index agrees.

    Args:
        promised: what the tool said.
        before: how many runs there were before it.
    """
    removed = {int(line[1]) for line in promised if line[0] == "removed"}
    runs = {run.number: run for run in directory.every()}
    for line in promised:
        if line[0] == "sample":
            number, cell, which = int(line[1]), line[2], int(line[3])
            replayed = {each.id: each for each in runs[number].replay().cells}
            assert which in [sample.index for sample in replayed[cell].samples]
        elif line[0] == "sealed" and int(line[1]) not in removed:
            assert runs[int(line[1])].sealed_path.exists()
    assert not removed & set(runs)
    assert len(runs) >= before - 1
    for run in runs.values():
        assert verify.verify(run) == []
    with open_index() as index:
        assert index.check() == ""
        rows, cells = index.runs(), index.cells()
        assert [row.number for row in rows] == list(runs)
        index.refresh(everything=True)
        assert (rows, cells) == (index.runs(), index.cells())


def mend(later_s: float = 2 * gc.REST_S) -> None:
    """What a person does then; afterwards there is nothing left to do."""
    for item in gc.leftovers(time.time() + later_s):
        gc.take_away(item)
    for run in directory.every():
        found = migrate.plan(run)
        assert not found.refused
        migrate.carry_out(found)
        assert verify.examine(run) == verify.Verification(())
        assert summarise(run.replay()).manifest.run == run.number
    assert gc.leftovers(time.time() + later_s) == []


@pytest.mark.parametrize("what", ["write", "index"])
def test_killed_at_any_call_a_tool_loses_nothing_that_it_promised(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(name: str) -> RunDirectory:
        monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / name))
        stored_runs.write(rounds=1, runs=1)
        return stored_runs.write(rounds=1, runs=1, seal=False)

    begin("whole")
    for point in points(what):
        last = begin(f"at {point}").number
        promised = tool(what, point)
        check(promised, before=last)
        mend()
        given = directory.create().number
        assert given > last
        created = [int(line[1]) for line in promised if line[0] == "created"]
        assert all(given > each for each in created)


def test_killed_at_any_time_a_tool_loses_nothing_that_it_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnd = random.Random(SEED)
    for number in range(max(POINTS // 3, 2)):
        monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / str(number)))
        stored_runs.write(rounds=1, runs=1)
        check(tool("whole", kill_after_s=rnd.uniform(0, 0.8)), before=1)
        mend()
