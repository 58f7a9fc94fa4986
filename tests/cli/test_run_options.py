"""``speedtest run --tag`` and ``--resume``, as a user types them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Tool, describe_fake
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.option import TagName


@pytest.mark.parametrize("name", ["base", "v1.2", "2026-11-20", "a", "deadbee", "x_y+z", "T" * 64])
def test_a_tag_is_taken_as_it_is(name: str) -> None:
    assert TagName().check(name, "--tag") == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("42", "is a run's number"),
        ("", "other characters"),
        ("latest", "means a run already"),
        ("Previous-Comparable", "means a run already"),
        ("a/b", "other characters"),
        ("../x", "does not begin"),
        ("-x", "does not begin"),
        ("a b", "other characters"),
        ("ä", "other characters"),
        ("A" * 65, "too many"),
        ("deadbeef", "looks like a run's id"),
        ("DEADBEEF01", "looks like a run's id"),
        ("base.zip", "looks like a file"),
        ("base\n", "other characters"),
    ],
)
def test_a_tag_that_could_be_taken_for_something_else_is_refused(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        TagName().check(name, "--tag")
    assert caught.value.hint


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder without other tests' runs."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "runs"


def test_the_same_command_again_measures_nothing_and_says_the_same(
    tool: Tool, tone: Path, fake: Callable[..., Path], own_runs: Path
) -> None:
    command = ["run", "-m", "tiny.en", "-b", fake("good"), "--audio", tone, "--rounds", 2]
    command += ["--tag", "base", "--tag", "again", "--json", "--resume"]
    first = tool(*command)
    assert first.returncode == 0, first.stderr
    assert "No unfinished run of this request" in first.stderr
    assert first.run["manifest"]["tags"] == ["base", "again"]
    second = tool(*command)
    assert second.returncode == 0, second.stderr
    assert "Run 1 is complete" in second.stderr
    assert second.run["cells"] == first.run["cells"]
    assert [path.name for path in own_runs.iterdir() if path.is_dir()] == ["000001"]


def test_a_changed_request_names_what_changed_and_measures_nothing(
    tool: Tool, tone: Path, fake: Callable[..., Path], own_runs: Path
) -> None:
    command = ["run", "-m", "tiny.en", "-b", fake("good"), "--audio", tone, "--rounds", 1]
    assert tool(*command).returncode == 0
    done = tool(*command, "--seed", 3, "--resume", 1)
    assert done.returncode == 2
    assert "cannot resume run 1" in done.stderr
    assert "seed 0 → 3" in done.stderr
    assert [path.name for path in own_runs.iterdir() if path.is_dir()] == ["000001"]


def test_a_newer_release_of_a_backend_does_not_go_on_where_an_older_one_ended(
    tool: Tool, tone: Path, tmp_path: Path, own_runs: Path
) -> None:
    backend = describe_fake(tmp_path, "released", adapter="dying:Released")
    version = tmp_path / "version"
    text = backend.read_text(encoding="utf-8")
    backend.write_text(
        text.replace('{ FAULT = "" }', f"{{ VERSION_FILE = {json.dumps(str(version))} }}"),
        encoding="utf-8",
    )
    version.write_text("1.0", encoding="utf-8")
    command = ["run", "-m", "tiny.en", "-b", backend, "--audio", tone, "--rounds", 2]
    done = tool(*command)
    assert done.returncode == 0, done.stderr
    # As if the tool had been killed just before its last line.
    book = own_runs / "000001" / "journal.jsonl"
    lines = book.read_bytes().splitlines(keepends=True)
    book.write_bytes(b"".join(lines[:-1]))
    version.write_text("1.1", encoding="utf-8")
    done = tool(*command, "--resume", 1)
    assert done.returncode == 2
    assert "released 1.0 → 1.1" in done.stderr
    version.write_text("1.0", encoding="utf-8")
    done = tool(*command, "--resume", os.fspath(own_runs / "000001"), "--json")
    assert done.returncode == 0, done.stderr
    assert done.run["manifest"]["outcome"]["state"] == "complete"
