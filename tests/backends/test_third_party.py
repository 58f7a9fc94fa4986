"""A backend in a distribution of somebody else's, really built and installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backends.conftest import THREADS
from conftest import Tool

DISTRIBUTION = Path(__file__).parent.parent / "fixtures" / "speedtest-levels"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution installed in it by pip, from its sources."""
    source = tmp_path_factory.mktemp("source") / "speedtest-levels"
    shutil.copytree(DISTRIBUTION, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)),
            str(source),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return target


@pytest.fixture
def tool_with_it(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return Tool(temporary)


def test_it_is_listed_like_any_other(tool_with_it: Tool) -> None:
    done = tool_with_it("backends", "list")

    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("levels")]
    assert "tells sound from silence" in line


def test_it_is_measured_beside_the_built_in_ones_by_its_name_alone(
    tool_with_it: Tool, tone: Path
) -> None:
    chosen = ("-b", "levels", "-b", "faster-whisper")
    counts = ("--rounds", 1, "--passes", 1, "--threads", THREADS)
    words = ("run", "-m", "tiny.en", *chosen, "--audio", tone, *counts, "--json")
    done = tool_with_it(*words, timeout=280)

    assert done.returncode == 0, done.stderr
    cell = done.cell("levels")
    assert cell["status"] == "ok"
    assert cell["backend"]["version"] == "1.0"
    assert cell["samples"][-1]["text"] == " sound sound"
    # Other work than the contract's is never ranked against the rest.
    groups = {each["backend"]["name"]: each["summary"]["group"] for each in done.run["cells"]}
    assert groups == {"faster-whisper": "A", "levels": "B"}


def test_it_states_what_is_known_of_its_model_itself(tool_with_it: Tool, site: Path) -> None:
    done = tool_with_it("backends", "info", "levels", "--model", "tiny.en", "--json")

    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert (info["model"], info["format"], info["precision"]) == ("tiny.en", "", "float32")
    assert (info["license"], info["size_class"]) == ("MIT", "tiny")
    assert info["timeouts"] == {
        "load": {"base_s": 20.0, "per_audio_s": 0.0},
        "first_call": {"base_s": 60.0, "per_audio_s": 4.0},
        "transcribe": {"base_s": 30.0, "per_audio_s": 2.0},
    }
    (file,) = info["files"]
    assert (file["name"], file["size_bytes"], file["sha256"][:8]) == ("levels.json", 20, "70085b6d")
    (location,) = info["locations"]
    assert (location["kind"], location["state"]) == ("description", "complete")
    assert Path(location["path"]) == site / "speedtest_levels" / "levels.json"


def test_weights_that_are_not_the_stated_ones_are_refused(
    tool_with_it: Tool, site: Path, tone: Path
) -> None:
    weights = site / "speedtest_levels" / "levels.json"
    right = weights.read_bytes()
    words = ("run", "-m", "tiny.en", "-b", "levels", "--audio", tone, "--rounds", 1)
    try:
        weights.write_bytes(right.replace(b"0.01", b"0.02"))
        checked = tool_with_it("check-models", "-b", "levels", "-m", "tiny.en", "--json")
        run = tool_with_it(*words)
    finally:
        weights.write_bytes(right)

    (row,) = json.loads(checked.stdout)["rows"]
    assert row["state"] == "corrupt"
    assert "levels.json is not the published file: SHA-256" in row["problems"][0]
    assert run.returncode == 2
    assert "levels.json of tiny.en has SHA-256" in run.stderr
    assert "stated is 70085b6d1a80eb9a" in run.stderr


def test_without_it_the_tool_does_not_know_it(tool: Tool) -> None:
    done = tool("run", "-m", "tiny.en", "-b", "levels")

    assert done.returncode == 2
    assert "unknown backend 'levels'" in done.stderr
