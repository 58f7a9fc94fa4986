"""``speedtest noise``: one backend against itself, and what later runs make of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Tool, describe_fake, write_tone

pytestmark = pytest.mark.timeout(400)


def describe(folder: Path, name: str) -> Path:
    return describe_fake(folder, name, adapter=f"pitfalls:{name}")


def test_a_backend_against_itself_gives_a_floor_that_later_runs_use(
    tmp_path: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    steady = describe(tmp_path, "Steady")

    done = tool("noise", "-b", steady, "--quick", "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] in {"SAME", "AMBIGUOUS"}
    assert found["rounds"] == 6
    assert 0 <= found["floor"] < 0.2  # a sleep is steady, whatever else the machine does
    assert set(found["rounds_for"]) == {"0.01", "0.02", "0.05"}
    assert len(list((tmp_path / "data" / "noise").iterdir())) == 1

    tone = write_tone(tmp_path / "tone.wav")
    other = describe(tmp_path, "Slower")
    run = tool(
        *["run", "-m", "tiny.en", "--audio", tone, "-b", steady, "-b", other],
        *["--rounds", 3, "--json"],
        timeout=200,
    )
    assert run.returncode == 0, run.stderr
    assert run.run["manifest"]["noise"] == found
    shown = tool("show", "latest")
    assert "not ranked" in shown.stdout
    assert "noise floor" in shown.stdout or "identical cells differ" in shown.stdout


def test_a_backend_that_fails_leaves_no_floor(
    tmp_path: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    path = describe(tmp_path, "NotThere")
    done = tool("noise", "-b", path, "--quick")
    assert done.returncode == 4
    assert "fewer than three rounds ended ok" in done.stderr
    assert not (tmp_path / "data" / "noise").exists()
