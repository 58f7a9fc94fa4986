"""Every backend that is installed here, through the whole tool, on real weights and real speech."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from backends.conftest import THREADS, installed_or_skip
from conftest import Finished, Tool, built_in_backends
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.contract import DecodeContract, deviations
from mac_whisper_speedtest.worker.launch import program

NAMES = [
    backend.name
    for backend in built_in_backends()
    if backend.name != "parakeet-mlx"  # no weights are at hand
]
IN_PLACE = ("faster-whisper", "whisper.cpp")
"""Those that live beside the tool."""
GREEDY = DecodeContract()

# MLX's CPU build takes long, and they share one run.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run puts its files."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One round of everything, as a user would call it."""
    found = registry.installed()
    here = [name for name in NAMES if program(found[name]) is not None]
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    finished = tool(
        *("run", "--model", "tiny.en", "--rounds", 1, "--passes", 1, "--threads", THREADS),
        *("--no-retake", "--json", "-o", folder / "out.json", "-o", folder / "out.csv"),
        *(word for name in here for word in ("-b", name)),
        timeout=1700,
    )
    assert finished.returncode == 0, finished.stderr
    assert tool.leftovers() == []
    return finished


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    installed_or_skip(backend)
    return backend


def test_the_built_in_clip_is_measured_and_understood(name: str, done: Finished) -> None:
    cell = done.cell(name)
    assert cell["status"] == "ok"
    assert cell["summary"]["wer"] <= 0.06
    assert (
        cell["backend"]["device"] == "cpu" or "linux" not in done.run["manifest"]["machine"]["os"]
    )


def test_it_did_the_work_that_its_description_declares(name: str, done: Finished) -> None:
    cell = done.cell(name)
    declared = registry.installed()[name].decodes_with(GREEDY)
    assert cell["contract"]["effective"] == declared
    assert {each["setting"] for each in cell["contract"]["deviations"]} == {
        each.setting for each in deviations(GREEDY, declared)
    }


def test_nothing_is_found_wrong_with_its_text_its_device_or_its_precision(
    name: str, done: Finished
) -> None:
    kinds = {each["kind"] for each in done.cell(name)["summary"]["findings"]}
    assert not kinds & {"loop", "device", "precision"}
    # Moonshine's detector remembers the recording before.
    assert "text" not in kinds or name == "moonshine-voice"


def test_only_those_that_did_equal_work_are_ranked_together(done: Finished) -> None:
    groups: dict[tuple[str, str], set[str]] = {}
    for cell in done.run["cells"]:
        where = (cell["model"]["name"], cell["summary"]["group"])
        settings = {key: cell["contract"]["effective"][key] for key in GREEDY.settings()}
        groups.setdefault(where, set()).add(str(settings))
    assert all(len(work) == 1 for work in groups.values())
    kept = str(GREEDY.settings())
    assert groups["tiny.en", "A"] == {kept}


def test_everyone_decoded_the_same_network(done: Finished) -> None:
    networks = {
        cell["model"]["weights"]["network_sha256"]
        for cell in done.run["cells"]
        if cell["model"]["name"] == "tiny.en"
    }
    assert len(networks) == 1


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_real_cell_has_every_figure(done: Finished, name: str) -> None:
    cell = done.cell(name)
    summary = cell["summary"]
    assert cell["status"] == "ok"
    assert summary["wer"] <= 0.05
    assert summary["timed_samples"] == 1
    for separate in ("import_s", "load_s", "first_s", "median_s"):
        assert summary[separate] > 0
    assert summary["peak_memory_bytes"] > 50e6


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_greedy_contract_is_kept_and_read_back(done: Finished, name: str) -> None:
    contract = done.cell(name)["contract"]
    assert contract["deviations"] == []
    assert contract["effective"] == DecodeContract().settings()
    assert {"temperatures", "condition_on_previous_text", "vad"} <= set(contract["observed"])


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_worker_s_clock_agrees_with_the_supervisor_s(done: Finished, name: str) -> None:
    for sample in done.cell(name)["samples"]:
        assert 0 <= sample["wall_s"] - sample["seconds"] <= 0.05 + 0.05 * sample["wall_s"]


def test_both_backends_ran_the_same_network_on_the_same_samples(done: Finished) -> None:
    cells = [done.cell(name) for name in IN_PLACE]
    source = cells[0]["model"]["weights"]
    assert source["files"]["model.bin"].startswith("1a5afae06a4db91c")
    assert cells[1]["model"]["weights"]["source"] == f"converted from {source['source']}"
    assert len({cell["clip"]["pcm_sha256"] for cell in cells}) == 1


def test_the_top_level_of_the_json_is_what_is_documented(done: Finished, folder: Path) -> None:
    document = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert document == done.run
    told = {"schema_version", "manifest", "cells", "rounds", "decisions", "digests"}
    assert set(document) == told
    for cell in document["cells"]:
        assert {"backend", "model", "contract", "status", "samples", "summary"} <= set(cell)
        assert {"name", "version"} <= set(cell["backend"])


def test_the_csv_says_the_same_as_the_json(done: Finished, folder: Path) -> None:
    with (folder / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["backend"]: row for row in csv.DictReader(stream)}
    for name in IN_PLACE:
        cell = done.cell(name)
        assert float(rows[name]["median_s"]) == cell["summary"]["median_s"]
        assert rows[name]["status"] == cell["status"]


def test_nothing_in_the_results_names_the_user_s_home(done: Finished) -> None:
    assert str(Path.home()) not in done.stdout


def test_quantized_weights_and_a_gpu_that_is_not_there_are_told_as_they_were(tool: Tool) -> None:
    if sys.platform != "linux":
        pytest.skip("Macs have no Vulkan")
    chosen = ("-b", "whisper.cpp:q5_1", "--device", "vulkan")
    done = tool(
        *("run", "-m", "tiny.en", *chosen, "--rounds", 1, "--passes", 1, "--threads", THREADS),
        *("--no-retake", "--json"),
        timeout=280,
    )

    assert done.returncode == 0, done.stderr
    cell = done.cell("whisper.cpp:q5_1")
    assert cell["id"] == "whisper.cpp:q5_1/tiny.en/short"
    assert cell["backend"]["precision"] == cell["model"]["info"]["precision"] == "q5_1"
    assert cell["summary"]["wer"] <= 0.06
    assert cell["backend"]["device"] == "cpu"
    (finding,) = [each for each in cell["summary"]["findings"] if each["kind"] == "device"]
    assert "cpu" in finding["message"]
    assert "vulkan" in finding["message"]
