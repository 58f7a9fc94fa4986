"""``speedtest compare`` and ``speedtest history`` on runs of a store of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Call
from fakes.runs import STEADY, FakeCell, run_of_set
from mac_whisper_speedtest.results import directory

Keep = Callable[..., None]


def at(level: float, backend: str = "a", **fields: Any) -> FakeCell:
    return FakeCell(backend, rtf=[each * level for each in STEADY], **fields)


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keep:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))

    def write(number: int, *cells: FakeCell, **changes: Any) -> None:
        made = run_of_set(*cells, number=number, **changes)
        made.write(directory.runs_dir() / f"{number:06d}")

    return write


def test_two_runs_of_one_tag_are_compared_with_the_one_before(keep: Keep, speedtest: Call) -> None:
    keep(1, at(1), tags=["base"])
    keep(2, at(1), tags=["base"])
    answer = speedtest("compare", "previous-comparable", "base")
    assert answer.code == 0
    assert "run 1 (base)" in answer.out
    assert "run 2 (base)" in answer.out
    assert "SAME" in answer.out


def test_a_regression_ends_with_11_and_only_where_it_was_asked_for(
    keep: Keep, speedtest: Call
) -> None:
    keep(1, at(1))
    keep(2, at(1.2))
    assert speedtest("compare", 1, 2).code == 0
    assert speedtest("compare", 1, 2, "--fail-on", "wrong,memory").code == 0
    assert speedtest("compare", 1, 2, "--fail-on", "slower", "--margin", "30%").code == 0
    answer = speedtest("compare", 1, 2, "--fail-on", "wrong", "--fail-on", "slower")
    assert answer.code == 11
    assert "slower: a tiny.en on speech: it takes 1.200 times as long" in answer.out


def test_the_file_gets_the_format_and_the_terminal_the_table(
    keep: Keep, speedtest: Call, tmp_path: Path
) -> None:
    keep(1, at(1))
    keep(2, at(1.2))
    answer = speedtest(
        "compare", 1, 2, "--fail-on", "slower", "--format", "junit", "-o", tmp_path / "out.xml"
    )
    assert answer.code == 11
    assert "SLOWER" in answer.out
    assert "<testsuites>" in (tmp_path / "out.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "begins"), [("x.md", "### speedtest"), ("x.json", "{"), ("x.txt", "run 1")]
)
def test_the_file_s_ending_says_which_format(
    keep: Keep, speedtest: Call, tmp_path: Path, name: str, begins: str
) -> None:
    keep(1, at(1))
    keep(2, at(1))
    assert speedtest("compare", 1, 2, "-o", tmp_path / name).code == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize(
    "form", ["markdown", "json", "github-action-benchmark", "hyperfine", "junit", "table"]
)
def test_every_format_is_printed_alone(keep: Keep, speedtest: Call, form: str) -> None:
    keep(1, at(1))
    keep(2, at(1))
    answer = speedtest("compare", 1, 2, "--format", form)
    assert answer.code == 0
    assert answer.err == ""
    if form in {"json", "github-action-benchmark", "hyperfine"}:
        json.loads(answer.out)


def test_runs_that_do_not_compare_are_refused_and_shown_anyway(keep: Keep, speedtest: Call) -> None:
    keep(1, at(1))
    keep(2, at(1), machine={"cpu": "Another"})
    refused = speedtest("compare", 1, 2)
    assert refused.code == 2
    assert "the hardware differs" in refused.err
    shown = speedtest("compare", 1, 2, "--anyway")
    assert shown.code == 0
    assert "NOT COMPARABLE: the hardware differs" in shown.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-on", "faster"], "--fail-on has no 'faster'"),
        (["--margin", "lots"], "--margin is 'lots'"),
        (["-o", "x.docx"], "x.docx does not name a format"),
    ],
)
def test_a_wrong_request_is_answered_with_what_to_say(
    keep: Keep, speedtest: Call, options: list[str], message: str
) -> None:
    keep(1, at(1))
    keep(2, at(1))
    answer = speedtest("compare", 1, 2, *options)
    assert answer.code == 2
    assert message in answer.err


def test_a_run_that_is_not_there_is_named(keep: Keep, speedtest: Call) -> None:
    keep(1, at(1))
    answer = speedtest("compare", 1, 7)
    assert answer.code == 2
    assert "7" in answer.err


def test_history_shows_every_run_and_the_change(keep: Keep, speedtest: Call) -> None:
    levels = (1.0, 1.01, 0.99, 1.005, 1.2, 1.21, 1.19, 1.205)
    for number, level in enumerate(levels, start=1):
        version = "1.1" if number < 5 else "1.2"
        keep(number, at(level, version=version))
    answer = speedtest("history", "a")
    assert answer.code == 0
    assert "From run 5 on SLOWER: takes 1.2" in answer.out
    assert "version: 1.1 → 1.2" in answer.out
    document = json.loads(speedtest("history", "a", "--json").out)
    assert [point["run"] for point in document["series"][0]["points"]] == list(range(1, 9))
    assert document["series"][0]["changes"][0]["run"] == 5


def test_history_fails_on_a_lasting_change_while_it_is_shown(keep: Keep, speedtest: Call) -> None:
    for number, level in enumerate((1.2, 1.21, 1.19, 1.205, 1.0, 1.01, 0.99, 1.005), start=1):
        keep(number, at(level))
    assert speedtest("history", "a", "--fail-on", "change").code == 11
    assert speedtest("history", "a", "--fail-on", "change", "--json").code == 11
    assert speedtest("history", "a", "--fail-on", "slower").code == 0  # it became faster
    assert speedtest("history", "a", "--fail-on", "change", "--limit", 4).code == 0
    for number, level in enumerate((1.2, 1.21, 1.19, 1.205), start=9):
        keep(number, at(level))
    assert speedtest("history", "a", "--fail-on", "slower", "--limit", 8).code == 11


def test_history_of_few_runs_says_how_many_a_change_takes(keep: Keep, speedtest: Call) -> None:
    keep(1, at(1))
    answer = speedtest("history", "a")
    assert answer.code == 0
    assert "need at least 8 runs; found 1 run" in answer.out


def test_history_of_a_backend_that_no_run_has_names_those_that_are_there(
    keep: Keep, speedtest: Call
) -> None:
    keep(1, at(1))
    answer = speedtest("history", "b")
    assert answer.code == 2
    assert "known: a (speedtest results list)" in answer.err


@pytest.mark.parametrize("command", ["compare", "history"])
def test_the_examples_in_the_help_are_lines_of_their_own(speedtest: Call, command: str) -> None:
    lines = [each.strip() for each in speedtest(command, "--help").out.splitlines()]
    assert len([each for each in lines if each.startswith(f"speedtest {command} ")]) >= 2
    assert not any("\\b" in each for each in lines)
