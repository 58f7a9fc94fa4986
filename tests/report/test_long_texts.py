"""A text of megabytes makes no report of megabytes, whatever it is a text of."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from conftest import Call
from fakes.runs import FakeCell, FakeRun, run_of_set, source
from mac_whisper_speedtest import limits
from mac_whisper_speedtest.compare import compare, fail_on
from mac_whisper_speedtest.export import markup
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.report import ci_formats, comparison, comparison_markdown, table
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.report.html import notebook
from mac_whisper_speedtest.report.html.report import render_report
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.cells import LONGEST_PART

LONG = "9" * 3_000_000
MOST = 60_000


def made(number: int = 1, text: str = LONG) -> FakeRun:
    return run_of_set(
        FakeCell("a", version=text),
        FakeCell("b", rtf=0.3, settings={"window": text}),
        FakeCell("gone", ending="crashed", message=text, log=text),
        number=number,
        tags=[text],
    )


@pytest.mark.parametrize("width", [80, 200])
def test_on_a_terminal(width: int) -> None:
    console = TextConsole(file=io.StringIO(), width=width)
    table.show_run(made().run, console=console)
    assert isinstance(console.file, io.StringIO)
    found = console.file.getvalue()
    assert len(found) < MOST
    assert LONG[:LONGEST_PART] in found.replace("\n", "").replace(" ", "")
    assert "characters more" in found


def test_in_pages_and_in_tables_for_people() -> None:
    run = made().run
    stream = io.BytesIO()
    markup.write_markdown(CELLS, [run], stream)
    assert len(stream.getvalue()) < MOST
    assert len(notebook.run_html(run, "1")) < MOST
    assert len(render_report(run)) < 10 * MOST


def test_in_lists_of_runs_and_histories(
    speedtest: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    longest = LONG[: limits.LONGEST_TEXT]  # longer ones are refused where a run is read
    for number in (1, 2):
        made(number, longest).write(directory.create().path)
    for words in (("results", "list"), ("history", "b")):
        answer = speedtest(*words)
        assert answer.code == 0
        assert len(answer.out) < MOST


def test_in_comparisons() -> None:
    compared = fail_on.judged(compare.compare(source(made(1)), source(made(2))), [])
    for render in (
        comparison.comparison_text,
        comparison_markdown.render,
        ci_formats.render_junit,
        ci_formats.render_hyperfine,
        ci_formats.render_github_action_benchmark,
    ):
        assert len(render(compared)) < 2 * MOST, render
