"""One run reads the same in every format: names, ranks, error rates and statuses."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from fakes.runs import STEADY, FakeCell, run_of_set, source
from mac_whisper_speedtest.compare import compare, fail_on
from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.export import markup
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.leaderboard import build, site
from mac_whisper_speedtest.leaderboard.intake import Intake
from mac_whisper_speedtest.leaderboard.submissions import submission_of
from mac_whisper_speedtest.report import ci_formats, comparison, comparison_markdown, table, texts
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.report.html import notebook
from mac_whisper_speedtest.report.html.report import render_report
from mac_whisper_speedtest.results import schema as s
from parsed_html import Element, parse

NONSENSE = dict.fromkeys(("u1", "u2"), "something else entirely was written down here by it")
MEASURED = (
    FakeCell("faster-whisper@1.1.1", [1.5 * each for each in STEADY], {"u1": "she sells sea"},
             version="1.1.1"),
    FakeCell("faster-whisper", STEADY),
    FakeCell("faster-whisper:int8", STEADY),
    FakeCell("quick", [0.5 * each for each in STEADY], NONSENSE),
    FakeCell("broken", ending="crashed", message="it fell over"),
)  # fmt: skip
EXPECTED = [
    ("faster-whisper 1.2.3 float32", "1–2", "0.0%", "ok"),
    ("faster-whisper:int8 1.2.3 float32", "1–2", "0.0%", "ok"),
    ("faster-whisper@1.1.1 float32", "3", "12.5%", "ok"),
    ("quick 1.2.3 float32", "B1", "225.0%", "fast but wrong"),
    ("broken", "–", "–", "crashed"),
]
"""Name, rank, error rate and status, in the order of the table."""
INTERVAL = re.compile(r" \(?[\d.]+%–[\d.]+%\)?")
Shown = list[tuple[str, str, str, str]]


def bare(rate: str) -> str:
    """An error rate without its interval, which every absolute one has."""
    assert rate == "–" or INTERVAL.search(rate), rate
    return INTERVAL.sub("", rate)


@pytest.fixture(scope="module")
def run() -> s.Run:
    return run_of_set(*MEASURED).run


@pytest.fixture(scope="module")
def compared() -> Compared:
    base, new = (source(run_of_set(*MEASURED, number=number)) for number in (1, 2))
    return fail_on.judged(compare.compare(base, new), [])


def shown(rows: Sequence[Sequence[str]], rate: str = "WER", status: str = "status") -> Shown:
    """The four columns of a table whose first row is its headings; of a status its first part."""
    headings, *fields = rows
    at = [list(headings).index(name) for name in ("backend", "rank", rate, status)]
    return [(row[at[0]], row[at[1]], bare(row[at[2]]), row[at[3]]) for row in fields]


def without_findings(found: Shown) -> Shown:
    return [(*row[:3], re.sub(r" \(?contract\)?$", "", row[3])) for row in found]


def printed(width: int = 300) -> TextConsole:
    return TextConsole(file=io.StringIO(), width=width)


def columns(console: TextConsole) -> list[list[str]]:
    """The rows of a printed table: its fields are two spaces apart at least."""
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    longest = max(map(len, rows))
    return [row for row in rows if len(row) == longest]


def elements(found: Element) -> list[list[str]]:
    """The rows of a table of a page."""
    rows = found.all("tr")
    return [[each.text for each in row.children if isinstance(each, Element)] for row in rows]


def test_the_terminal(run: s.Run) -> None:
    console = printed()
    table.show_run(run, console=console)
    assert without_findings(shown(columns(console))) == EXPECTED


def test_the_page(run: s.Run) -> None:
    ranking = parse(render_report(run)).one("section", id="ranking").one("table")
    assert without_findings(shown(elements(ranking))) == EXPECTED


def test_exported_markdown(run: s.Run) -> None:
    stream = io.BytesIO()
    markup.write_markdown(CELLS, [run], stream)
    rows = [line.strip("| ").split(" | ") for line in stream.getvalue().decode().splitlines()]
    assert sorted(shown([rows[0], *rows[2:]], "wer")) == sorted(EXPECTED)


def test_a_notebook(run: s.Run) -> None:
    piece = parse(notebook.run_html(run, "1")).one("table")
    assert sorted(shown(elements(piece), "wer")) == sorted(EXPECTED)


def test_the_scores(run: s.Run) -> None:
    console = printed()
    found = {
        cell.id: cell.summary.accuracy
        for cell in run.cells
        if cell.summary is not None and cell.summary.accuracy is not None
    }
    texts.show_scores(run.cells, found, console=console)
    headings, *rows = columns(console)
    at = headings.index("WER")
    rates = {row[0]: f"{float(bare(row[at]).rstrip('%')):.1f}%" for row in rows}
    assert rates == {name: rate for name, _, rate, status in EXPECTED if status != "crashed"}


def test_the_leaderboard(run: s.Run) -> None:
    """It pools what was requested by its version and what was found in it."""
    known = submission_of(run)
    page = parse(site.index_page(build.build_leaderboard([known]), Intake((known,), (), 0)))
    (board,) = page.all("table", id="board-0")
    found = shown(elements(board), "error rate", "state")
    assert found == [
        (name.replace("@", " "), rank, rate, status if status != "crashed" else "failed 1 crashed")
        for name, rank, rate, status in EXPECTED
    ]


def rows_of_comparison() -> dict[str, str]:
    return {
        name: rate if rate == "–" else f"{rate} → {rate}" for name, _, rate, _ in sorted(EXPECTED)
    }


def test_a_comparison_on_the_terminal_and_in_markdown(compared: Compared) -> None:
    (rows,) = comparison.tables(compared).values()
    at = comparison.HEADINGS.index("error rate")
    assert {row[0]: bare(row[at]) for row in rows} == rows_of_comparison()
    lines = comparison_markdown.render(compared).splitlines()
    fields = [[each.strip() for each in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    shown = {row[0]: bare(row[at]) for row in fields[2 : 2 + len(EXPECTED)]}
    assert shown == rows_of_comparison()


def test_the_formats_of_ci(compared: Compared) -> None:
    cases = ElementTree.fromstring(ci_formats.render_junit(compared)).iter("testcase")
    texts = [case.findtext("system-out") or "" for case in cases]
    found = [dict(line.split(": ", 1) for line in text.splitlines()) for text in texts]
    assert {each["backend"]: bare(each["error rate"]) for each in found} == rows_of_comparison()
    measured = [each for each in EXPECTED if each[3] != "crashed"]
    results = json.loads(ci_formats.render_hyperfine(compared))["results"]
    assert {each["command"] for each in results} == {
        f"{name} tiny.en on speech ({side})" for name, *_ in measured for side in ("base", "new")
    }
    entries = json.loads(ci_formats.render_github_action_benchmark(compared))
    rates = [each for each in entries if each["name"].endswith("WER")]
    assert all(" to " in each["range"] for each in rates)
    assert {each["extra"].splitlines()[0]: f"{each['value']:.1f}%" for each in rates} == {
        name: rate for name, _, rate, _ in measured
    }
