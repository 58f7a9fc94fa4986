"""Runs of unreleased versions of this tool: known as such everywhere, in one line, and not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Call
from fakes.runs import stored
from mac_whisper_speedtest.compare import sources
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.directory import OutdatedRunError, RunDirectory
from mac_whisper_speedtest.store.index import open_index

TOO_OLD = "was written by an unreleased version of this tool and is too old: measure again"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))


def outdated(version: int) -> RunDirectory:
    """A run as unreleased versions wrote it: other names in the request, and no id before 3."""
    run = stored(tags=["old"])
    manifest = json.loads(run.manifest_path.read_bytes())
    manifest["schema_version"] = version
    if version < 3:
        del manifest["run_id"]
    manifest["request"]["runs"] = manifest["request"].pop("passes")
    run.manifest_path.write_text(json.dumps(manifest), encoding="utf-8")
    return run


@pytest.mark.parametrize("version", [1, 2, 3])
def test_it_is_too_old_to_be_read(version: int) -> None:
    run = outdated(version)
    with pytest.raises(OutdatedRunError) as error:
        run.replay()
    assert error.value.message == f"{run.manifest_path} {TOO_OLD}"
    assert sources.manifest_of(run) is None


@pytest.mark.parametrize(
    "command",
    ["show 1", "score 1", "report 1 -o x.html", "export 1 -o x.csv", "compare 1 2", "trace 1"],
)
def test_commands_say_so_in_one_line_and_end_with_5(
    command: str, speedtest: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outdated(3)
    stored()
    answer = speedtest(*command.split())
    assert answer.code == 5
    (line,) = [each for each in answer.err.splitlines() if TOO_OLD in each]
    assert answer.err.splitlines() == [line]
    assert "Traceback" not in answer.err


def test_a_bundle_of_it_is_not_written(speedtest: Call, tmp_path: Path) -> None:
    outdated(2)
    answer = speedtest("results", "bundle", "1", "-o", tmp_path / "x.zip")
    assert answer.code == 5
    assert TOO_OLD in answer.err
    assert not (tmp_path / "x.zip").exists()


def test_it_is_listed_with_that_state_beside_the_others(speedtest: Call) -> None:
    outdated(2)
    stored()
    _, _, old, new, *_ = speedtest("results", "list").out.splitlines()
    assert old.split()[:3] == ["1", "too", "old"]
    assert "complete" in new
    listed = json.loads(speedtest("results", "list", "--json").out)["runs"]
    assert TOO_OLD in listed[0]["message"]
    with open_index() as index:
        assert [row.number for row in index.runs(state="too old")] == [1]


def test_verify_names_it_and_no_other(speedtest: Call) -> None:
    outdated(3)
    stored()
    answer = speedtest("results", "verify")
    assert answer.code == 5
    assert TOO_OLD in answer.out
    assert "run 2: good" in answer.out


def test_a_run_of_a_newer_version_is_another_matter(speedtest: Call) -> None:
    run = stored()
    text = run.manifest_path.read_text(encoding="utf-8")
    run.manifest_path.write_text(
        text.replace('"schema_version": 1', '"schema_version": 4'), encoding="utf-8"
    )
    answer = speedtest("show", "1")
    assert answer.code == 5
    assert "has schema version 4; this tool reads up to 1" in answer.err
    assert "install a newer mac-whisper-speedtest" in answer.err
    assert directory.find("1") == run
