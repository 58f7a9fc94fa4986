"""The backends that live beside the tool, on real weights and speech, through the whole tool."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from conftest import Finished, Tool
from mac_whisper_speedtest.backends.contract import DecodeContract

IN_PLACE = ("faster-whisper", "whisper.cpp")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """What the README's first line runs, in a smaller dose."""
    folder = tmp_path_factory.mktemp("demo")
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    chosen = [word for name in IN_PLACE for word in ("-b", name)]
    done = tool(
        *["run", "--model", "tiny.en", *chosen, "--rounds", 2, "--passes", 1, "--no-retake"],
        *["--json", "-o", folder / "out.json", "-o", folder / "out.csv"],
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert tool.leftovers() == []
    return done, folder


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_built_in_clip_is_measured_and_understood(
    demo: tuple[Finished, Path], name: str
) -> None:
    cell = demo[0].cell(name)
    summary = cell["summary"]
    assert cell["status"] == "ok"
    assert summary["wer"] <= 0.05
    assert summary["timed_samples"] == 2
    for separate in ("import_s", "load_s", "first_s", "median_s"):
        assert summary[separate] > 0
    assert summary["peak_rss_bytes"] > 50e6


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_greedy_contract_is_kept_and_read_back(demo: tuple[Finished, Path], name: str) -> None:
    contract = demo[0].cell(name)["contract"]
    assert contract["deviations"] == []
    assert contract["effective"] == DecodeContract().settings()
    assert {"temperatures", "condition_on_previous_text", "vad"} <= set(contract["observed"])


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_worker_s_clock_agrees_with_the_supervisor_s(
    demo: tuple[Finished, Path], name: str
) -> None:
    for sample in demo[0].cell(name)["samples"]:
        assert 0 <= sample["wall_s"] - sample["seconds"] <= 0.05 + 0.05 * sample["wall_s"]


def test_both_backends_ran_the_same_network_on_the_same_samples(
    demo: tuple[Finished, Path],
) -> None:
    cells = [demo[0].cell(name) for name in IN_PLACE]
    source = cells[0]["model"]["weights"]
    assert source["files"]["model.bin"].startswith("1a5afae06a4db91c")
    assert cells[1]["model"]["weights"]["source"] == f"converted from {source['source']}"
    assert len({cell["clip"]["pcm_sha256"] for cell in cells}) == 1


def test_the_top_level_of_the_json_is_what_is_documented(demo: tuple[Finished, Path]) -> None:
    document = json.loads((demo[1] / "out.json").read_text(encoding="utf-8"))
    assert document == demo[0].run
    told = {"schema_version", "manifest", "cells", "rounds", "decisions", "digests"}
    assert set(document) == told
    for cell in document["cells"]:
        assert {"backend", "model", "contract", "status", "samples", "summary"} <= set(cell)
        assert {"name", "version"} <= set(cell["backend"])


def test_the_csv_says_the_same_as_the_json(demo: tuple[Finished, Path]) -> None:
    with (demo[1] / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["backend"]: row for row in csv.DictReader(stream)}
    for name in IN_PLACE:
        cell = demo[0].cell(name)
        assert float(rows[name]["median_s"]) == cell["summary"]["median_s"]
        assert rows[name]["status"] == cell["status"]


def test_nothing_in_the_results_names_the_user_s_home(demo: tuple[Finished, Path]) -> None:
    assert str(Path.home()) not in demo[0].stdout


def test_quantized_weights_and_a_gpu_that_is_not_there_are_told_as_they_were(tool: Tool) -> None:
    if sys.platform != "linux":
        pytest.skip("on a Mac there is a Metal device")
    chosen = ("-b", "whisper.cpp:q5_1", "-b", "faster-whisper", "--device", "metal")
    done = tool(
        *("run", "-m", "tiny.en", *chosen, "--rounds", 1, "--passes", 1, "--no-retake", "--json"),
        timeout=280,
    )

    assert done.returncode == 3, done.stderr  # faster-whisper has no Metal, and was named
    refused = done.cell("faster-whisper")["endings"][0]
    assert (refused["status"], refused["message"]) == (
        *("unavailable", "has no device metal (it has cpu, cuda)"),
    )
    cell = done.cell("whisper.cpp")
    assert cell["id"] == "whisper.cpp:q5_1/tiny.en/short"
    assert cell["backend"]["precision"] == cell["model"]["weights"]["precision"] == "q5_1"
    assert cell["summary"]["wer"] <= 0.06
    assert cell["backend"]["device"] == "cpu"
    (finding,) = [each for each in cell["summary"]["findings"] if each["kind"] == "device"]
    assert "cpu" in finding["message"]
    assert "metal" in finding["message"]


def test_a_precision_that_a_backend_cannot_store_costs_its_own_cell_only(tool: Tool) -> None:
    done = tool(
        *("run", "-m", "tiny.en", "-b", "whisper.cpp", "-b", "faster-whisper"),
        *("--precision", "int8", "--rounds", 1, "--passes", 1, "--no-retake", "--json"),
        timeout=280,
    )

    assert done.returncode == 3, done.stderr
    assert done.cell("faster-whisper")["backend"]["precision"].startswith("int8")
    (ending,) = done.cell("whisper.cpp")["endings"]
    assert ending["message"].startswith("has no int8 weights (it has float16, float32, q8_0")
