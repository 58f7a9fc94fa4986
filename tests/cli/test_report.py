"""``speedtest report``: where the page goes, and what is refused."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from conftest import Call
from fakes.runs import stored
from parsed_html import parse


@pytest.fixture
def call(speedtest: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """``call("1", "-o", path)``, in an empty folder; run 1 is there."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    stored()
    monkeypatch.chdir(tmp_path)
    return functools.partial(speedtest, "report")


def test_it_writes_the_page_and_says_where(call: Call, tmp_path: Path) -> None:
    answer = call("1", "-o", "sub/report.html")
    assert answer.code == 0
    page = tmp_path / "sub" / "report.html"
    assert "sub/report.html:" in answer.out
    assert "Ranking" in parse(page.read_text(encoding="utf-8")).text


def test_without_a_name_it_is_named_after_the_run_and_replaces_nothing(
    call: Call, tmp_path: Path
) -> None:
    assert call("1").code == 0
    (made,) = tmp_path.glob("run-*.html")
    made.write_text("mine", encoding="utf-8")
    answer = call("1")
    assert answer.code == 2
    assert f"to replace it: -o {made.name}" in answer.err
    assert made.read_text(encoding="utf-8") == "mine"
    assert call("1", "-o", made.name).code == 0
    assert made.read_text(encoding="utf-8") != "mine"


def test_a_folder_or_an_unknown_run_is_refused(call: Call, tmp_path: Path) -> None:
    answer = call("1", "-o", tmp_path)
    assert answer.code == 2
    assert "it is a folder" in answer.err
    answer = call("no-such-run", "-o", "x.html")
    assert answer.code == 2
    assert "no-such-run" in answer.err
    assert not (tmp_path / "x.html").exists()


def test_a_place_that_cannot_be_written_is_refused_as_by_export(
    call: Call, speedtest: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for answer in (call("1", "-o", "file/x.html"), speedtest("export", "1", "-o", "file/x.html")):
        assert answer.code == 2
        assert "cannot write file/x.html: Not a directory" in answer.err


def test_a_missing_folder_is_made_by_every_command_that_writes_a_file(
    call: Call, speedtest: Call, tmp_path: Path
) -> None:
    assert call("1", "-o", "a/b/page.html").code == 0
    assert speedtest("export", "1", "-o", "c/d/cells.csv").code == 0
    assert speedtest("show", "1", "-o", "e/f/cells.csv").code == 0
    assert {each.name for each in tmp_path.glob("[ace]/*/*")} == {"page.html", "cells.csv"}


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("report", "1", "-o", "x.pdf"), "end it in .html; a browser prints it as PDF"),
        (("export", "1", "-o", "x.xlsx"), "spreadsheets open .csv"),
        (("show", "1", "-o", "x.doc"), "use one of .json, .jsonl, .csv"),
        (("results", "bundle", "1", "-o", "x.tar"), "-o x.zip, or a folder"),
        (("run", "-m", "tiny.en", "-o", "x.xlsx"), "spreadsheets open .csv"),
        (
            ("run", "-m", "tiny.en", "--audio", "a.mp3", "b.mp3"),
            "--audio 'FOLDER/*.mp3', in quotes",
        ),
    ],
)
def test_what_is_refused_says_what_works(
    call: Call, speedtest: Call, tmp_path: Path, command: tuple[str, ...], hint: str
) -> None:
    answer = speedtest(*command)
    assert answer.code == 2
    assert hint in answer.err
    assert not list(tmp_path.glob("x.*"))
