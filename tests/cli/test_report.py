"""``speedtest report``: where the page goes, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mac_whisper_speedtest import cli
from parsed_html import parse

OLD_RUN = Path(__file__).parent.parent / "fixtures" / "runs" / "v1"

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """``call("latest", "-o", path)`` → the exit code, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["speedtest", "report", *map(str, arguments)])
        return int(cli.main() or 0)

    return run


def test_it_writes_the_page_and_says_where(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(OLD_RUN, "-o", "sub/report.html") == 0
    page = tmp_path / "sub" / "report.html"
    assert "sub/report.html:" in capsys.readouterr().out
    assert "Ranking" in parse(page.read_text(encoding="utf-8")).text


def test_without_a_name_it_is_named_after_the_run_and_replaces_nothing(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(OLD_RUN) == 0
    (made,) = tmp_path.glob("run-*.html")
    made.write_text("mine", encoding="utf-8")
    assert call(OLD_RUN) == 2
    assert f"to replace it: -o {made.name}" in capsys.readouterr().err
    assert made.read_text(encoding="utf-8") == "mine"
    assert call(OLD_RUN, "-o", made.name) == 0
    assert made.read_text(encoding="utf-8") != "mine"


def test_a_folder_or_an_unknown_run_is_refused(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(OLD_RUN, "-o", tmp_path) == 2
    assert "it is a folder" in capsys.readouterr().err
    assert call("no-such-run", "-o", "x.html") == 2
    assert "no-such-run" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def test_a_place_that_cannot_be_written_is_a_storage_error(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert call(OLD_RUN, "-o", "file/report.html") == 5
