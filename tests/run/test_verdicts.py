"""What rounds and texts say of fakes whose truth is known, in one real run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from conftest import Finished, Tool, describe_fake, write_tone

NAMES = ("Steady", "Slower", "Wrong", "FallsBackOnce")
ROUNDS, RUNS = 6, 3
pytestmark = pytest.mark.timeout(600)  # two dozen processes, on a machine that may be busy


def describe(folder: Path, name: str) -> Path:
    return describe_fake(folder, name, adapter=f"pitfalls:{name}")


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("fakes")
    tone = write_tone(folder / "tone.wav")
    tone.with_suffix(".txt").write_text(
        "And so, my fellow Americans, ask not what your country can do for you.", encoding="utf-8"
    )
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    chosen = [part for name in NAMES for part in ("-b", describe(folder, name))]
    done = tool(
        *["run", "-m", "tiny.en", "--audio", tone, *chosen, "--reference", "Steady"],
        *["--rounds", ROUNDS, "--passes", RUNS, "--margin", "2%", "--json", "--max-time", 600],
        timeout=560,
    )
    assert done.returncode == 0, done.stderr
    assert tool.leftovers() == []
    return done


def summary(one_run: Finished, name: str) -> dict[str, Any]:
    found: dict[str, Any] = one_run.cell(name)["summary"]
    return found


def findings(one_run: Finished, name: str) -> dict[str, str]:
    return {each["kind"]: each["message"] for each in summary(one_run, name)["findings"]}


def test_a_twin_that_is_a_tenth_slower_is_slower(one_run: Finished) -> None:
    slower = summary(one_run, "Slower")
    assert slower["verdict"] == "SLOWER"
    bounds = slower["times_best_bounds"]
    assert 1.02 < bounds["low"] <= slower["times_best"] <= bounds["high"] < 1.18
    assert summary(one_run, "Steady")["rank"] == 1
    assert slower["rank"] > 1


def test_identical_cells_are_the_same(one_run: Finished) -> None:
    """``FallsBackOnce`` works as long as ``Steady`` but for one sample: their places overlap."""
    first, second = summary(one_run, "Steady"), summary(one_run, "FallsBackOnce")
    assert first["rank"] <= second["rank_last"]
    assert second["rank"] <= first["rank_last"]


def test_what_is_as_quick_and_says_something_else_is_fast_but_wrong(one_run: Finished) -> None:
    wrong = summary(one_run, "Wrong")
    assert wrong["fast_but_wrong"] is True
    assert wrong["group"] not in {
        summary(one_run, name)["group"] for name in NAMES if name != "Wrong"
    }
    assert wrong["accuracy"]["against"].startswith("Steady/")
    assert wrong["accuracy"]["delta_low"] > 0.3
    assert [name for name in NAMES if summary(one_run, name)["fast_but_wrong"]] == ["Wrong"]


def test_a_sample_that_took_longer_for_a_fallback_is_explained_as_such(one_run: Finished) -> None:
    said = findings(one_run, "FallsBackOnce")["outlier"]
    assert re.search("sample [1-3] in round [12]", said)  # its fourth call, after a warm-up
    assert "3 × the median: decoded again at a higher temperature (1 fallback)" in said
    assert summary(one_run, "FallsBackOnce")["median_s"] < 0.3  # and the median does not mind


def test_every_cell_has_an_interval_of_its_rtfx(one_run: Finished) -> None:
    for name in NAMES:
        bounds = summary(one_run, name)["rtfx_bounds"]
        assert bounds["low"] <= summary(one_run, name)["rtfx"] <= bounds["high"]
        assert bounds["rounds"] >= ROUNDS - 2


def test_the_machine_is_looked_at_around_every_round(one_run: Finished) -> None:
    rounds = one_run.run["rounds"]
    assert [each["round"] for each in rounds][:2] == [0, 1]
    assert len(rounds) >= ROUNDS
    for each in rounds:
        assert each["canary_after_s"] > 0
        assert "load_average_1m" in each["before"]["values"]
    meters = one_run.cell("Steady")["meters"]
    assert all(
        each["readings"]["energy_j"]["value"] or each["readings"]["energy_j"]["reason"]
        for each in meters
    )
