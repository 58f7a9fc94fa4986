"""``speedtest results`` as a person uses it."""

from __future__ import annotations

import functools
from pathlib import Path

import click
import pytest

from conftest import Call
from fakes.runs import FakeCell, stored
from mac_whisper_speedtest.cli import results
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.journal import Journal


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(folder))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    return folder.resolve()


@pytest.fixture
def call(speedtest: Call) -> Call:
    """Call ``speedtest results``."""
    return functools.partial(speedtest, "results")


def test_runs_are_listed_in_order_with_the_newest_last(call: Call) -> None:
    stored(tags=["base", "quiet"])
    stored(FakeCell("c", model="small"), seal=False)
    heading, _rule, first, second = call("list").out.splitlines()
    assert heading.split()[:3] == ["run", "started", "state"]
    assert first.split() == [
        *["1", "2026-11-20", "10:00", "complete", "2/2", "a,", "b", "tiny.en"],
        *["base,", "quiet", "speech"],
    ]
    assert second.split()[:6] == ["2", "2026-11-20", "10:00", "recovered,", "not", "sealed"]


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], [1, 2, 3]),
        (["--model", "small"], [2]),
        (["--backend", "a"], [1, 3]),
        (["--tag", "base"], [1]),
        (["--state", "recovered"], [3]),
        (["--backend", "a", "--tag", "no such"], []),
    ],
)
def test_a_list_can_be_narrowed(call: Call, arguments: list[str], numbers: list[int]) -> None:
    stored(tags=["base"])
    stored(FakeCell("c", model="small"))
    stored(FakeCell("a"), seal=False)
    found = call("list", "--json", *arguments)
    assert found.code == 0
    assert [run["number"] for run in found.json["runs"]] == numbers
    assert found.json["schema_version"] == 1
    assert call("list", *arguments).out.startswith("run" if numbers else "no run matches")


def test_a_state_that_does_not_exist_is_an_error(call: Call) -> None:
    said = call("list", "--state", "done")
    assert (said.code, said.out) == (2, "")
    assert "no run has the state 'done'" in said.err


def test_a_list_without_runs_says_so(call: Call) -> None:
    assert call("list").out == "no runs yet\n"


def test_a_damaged_index_is_rebuilt_with_a_message_on_stderr(call: Call, data: Path) -> None:
    stored()
    (data / "index.sqlite").write_bytes(b"rubbish" * 1000)
    said = call("list", "--json")
    assert [run["number"] for run in said.json["runs"]] == [1]
    assert "is rebuilt from the runs" in said.err


def test_verify_without_a_name_verifies_every_run(call: Call) -> None:
    for _ in range(2):
        stored()
    said = call("verify")
    assert (said.code, said.out) == (0, "run 1: good\nrun 2: good\n2 of 2 runs are good\n")


def test_verify_names_what_is_wrong_and_ends_with_5(call: Call) -> None:
    stored()
    run = stored()
    text = run.sealed_path.read_text(encoding="utf-8")
    run.sealed_path.write_text(text.replace('"rank": null', '"rank": 2', 1), encoding="utf-8")
    said = call("verify", "1", "latest")
    assert said.code == 5
    assert "run 1: good\nrun 2: WRONG\n  wrong: run.json has changed" in said.out
    assert "1 of 2 runs are good" in said.out
    problems = call("verify", "--json").json["runs"][1]["problems"]
    assert "summary.rank is 2 and should be None" in problems[1]


def test_verify_names_no_run_that_is_not_there(call: Call) -> None:
    assert call("verify", "7").code == 2


def test_reindex_reads_every_run_and_says_where_the_index_is(call: Call, data: Path) -> None:
    for _ in range(2):
        stored(rounds=1, passes=1)
    assert call("list").code == 0
    said = call("reindex")
    assert said.code == 0
    assert said.out.startswith("2 runs with 8 samples in ")
    assert "index.sqlite" in said.out
    (data / "index.sqlite").write_bytes(b"rubbish" * 1000)
    assert call("reindex").code == 0
    assert len(call("list").out.splitlines()) == 4


def test_rm_shows_what_goes_and_removes_it_when_told(call: Call) -> None:
    for tag in ("one", "two", "three"):
        stored(tags=[tag])
    assert call("rm", "two", "--dry-run").out.startswith("run 2: ")
    unasked = call("rm", "2")  # stdin is not a terminal
    assert (unasked.code, len(directory.every())) == (2, 3)
    said = call("rm", "two", "3", "2", "--yes")
    assert said.code == 0
    assert said.out.count("run ") == 2
    assert [run.number for run in directory.every()] == [1]
    assert [run["number"] for run in call("list", "--json").json["runs"]] == [1]
    assert stored().number == 4


def test_rm_removes_nothing_when_one_of_them_is_being_written(call: Call) -> None:
    stored()
    run = stored(seal=False)
    with Journal(run.journal_path):
        said = call("rm", "1", "2", "--yes")
    assert said.code == 2
    assert "being written" in said.err
    assert len(directory.every()) == 2


def test_gc_removes_what_killed_tools_left(call: Call, data: Path) -> None:
    stored()
    assert call("gc").out == "nothing to remove\n"
    trash = data / "runs" / ".removed-000009"
    trash.mkdir()
    (trash / "journal.jsonl").write_bytes(b"x" * 1000)
    dry = call("gc", "--dry-run").out
    assert "an interrupted removal" in dry
    assert trash.exists()
    assert "freed 0.0 MB (1000 bytes)" in call("gc", "--yes").out
    assert not trash.exists()
    assert len(directory.every()) == 1


def test_results_show_is_show(call: Call) -> None:
    stored(tags=["base"])
    assert call("show", "base", "--json").json["manifest"]["tags"] == ["base"]


def test_every_listed_subcommand_exists_and_has_a_help_text() -> None:
    context = click.Context(results.command)
    for name in results.command.list_commands(context):
        command = results.command.get_command(context, name)
        assert command is not None, name
        assert command.help
