"""Tools that are killed at any moment: nothing that was promised is missing, nothing is corrupt."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.runs import stored
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store import maintenance, verify
from mac_whisper_speedtest.store.index import open_index
from mac_whisper_speedtest.summary.summarize import summarize

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


@functools.cache
def calls(what: str) -> int:
    """How many calls there are at which that tool can be killed; the data folder is used up."""
    (said,) = (line[1] for line in tool(what) if line[0] == "points")
    return int(said)


def call_to_die_at(what: str, seed: int) -> int:
    """A seeded call: consecutive seeds spread evenly over all calls (by the golden ratio)."""
    offset = random.Random(f"{SEED} {what}").random()
    return 1 + int((offset + seed * 0.6180339887) % 1 * calls(what))


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


def mend(later_s: float = 2 * maintenance.MINIMUM_AGE_S) -> None:
    """What a person does then; afterwards there is nothing left to do."""
    for item in maintenance.leftovers(time.time() + later_s):
        maintenance.remove_leftover(item)
    for run in directory.every():
        if not run.sealed_path.exists():
            run.seal(summarize(run.replay()))
        assert verify.examine(run) == verify.Verification(())
        assert summarize(run.replay()).manifest.run == run.number
    assert maintenance.leftovers(time.time() + later_s) == []


@pytest.fixture
def last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Make a data folder with a sealed run and one of a killed tool; the latter's number."""

    def begin(name: str) -> int:
        monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / name))
        stored(rounds=1, passes=1)
        return stored(rounds=1, passes=1, seal=False).number

    return begin


@pytest.mark.parametrize("what", ["write", "index"])
def test_killed_at_any_call_a_tool_loses_nothing_that_it_promised(
    what: str, seed: int, last: Callable[[str], int]
) -> None:
    last("counted")
    at = call_to_die_at(what, seed)
    before = last("killed")
    promised = tool(what, at)
    check(promised, before)
    mend()
    given = directory.create().number
    assert given > before
    assert all(given > int(line[1]) for line in promised if line[0] == "created")


def test_killed_at_any_time_a_tool_loses_nothing_that_it_promised(
    seed: int, last: Callable[[str], int]
) -> None:
    before = last("killed")
    check(tool("whole", kill_after_s=random.Random(SEED + seed).uniform(0, 0.8)), before)
    mend()
