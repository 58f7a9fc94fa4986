"""What an export holds, whatever texts are in the run."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.events import SAID
from fakes.recordings import AUDIO_S
from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.export.tables import CELLS, UTTERANCES, Table
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn, Kind

SAMPLES = tables.samples(text=True)
NASTY = ["=1+1", "a,b", 'say "so"', "two\nlines", "a\ttab", "café – 語 🎤", "back\\slash", "  "]
FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1+1",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
]


def written(name: str, table: Table, *runs: s.Run) -> str:
    out = io.BytesIO()
    files.FORMATS[name](table, iter(runs), out)
    return out.getvalue().decode()


def rows(name: str, table: Table, *runs: s.Run) -> list[dict[str, str]]:
    """A CSV as a program reads it that knows nothing of this one."""
    return list(csv.DictReader(io.StringIO(written(name, table, *runs), newline="")))


@pytest.fixture(scope="module")
def run() -> s.Run:
    said = {"u1": "she sells seven shells"}
    return run_of_set(
        FakeCell("quick"),
        FakeCell("slow", rtf=0.2, text=said),
        FakeCell("bad", ending="failed", message="no"),
    ).run


@pytest.mark.parametrize("table", [CELLS, SAMPLES, UTTERANCES], ids=lambda table: table.name)
def test_no_column_is_there_twice_and_each_says_what_it_means(table: Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert all(column.meaning and "\n" not in column.meaning for column in table.columns)


@pytest.mark.parametrize("table", [CELLS, SAMPLES, UTTERANCES], ids=lambda table: table.name)
def test_a_unit_is_in_the_name_of_its_column(table: Table) -> None:
    endings = {"s": ("_s", "seconds"), "byte": ("_bytes",), "J/h": ("joules_per_audio_hour",)}
    rates = {"wer", "cer", "rate", "accuracy_rate", "noise_floor", "detectable"}
    bounds = ("accuracy_delta", "accuracy_rate_")
    for column in table.columns:
        if column.unit in endings:
            assert column.name.endswith(endings[column.unit]), column.name
        elif column.unit == "fraction":
            assert column.name in rates or column.name.startswith(bounds), column.name
        else:
            assert column.unit == ("cores" if column.name == "cores_used" else ""), column.name
            assert not column.name.endswith(("_s", "_bytes")), column.name


@pytest.mark.parametrize("table", [CELLS, SAMPLES, UTTERANCES], ids=lambda table: table.name)
def test_every_column_is_read_from_a_field_that_there_is(table: Table) -> None:
    """A path that a null cuts short would hide a misspelt name, so every name is looked up."""
    known = {
        field
        for kind in vars(s).values()
        if isinstance(kind, type) and issubclass(kind, s.Struct)
        for field in kind.__struct_fields__
    }
    own = {"run", "cell", "sample", "score", "recording", "accuracy", "failure", "comparable_key"}
    own |= {"hardware_class", "contract", "contract_sha256", "network_sha256", "deviations"}
    own |= {"findings", "recordings", "audio_s", "counted"}
    for column in table.columns:
        assert set(column.path.split(".")) <= known | own, column.path


def test_a_row_of_a_cell_has_what_the_run_says_of_it(run: s.Run) -> None:
    quick, slow, bad = CELLS.records([run])
    summary = run.cells[0].summary
    assert summary is not None
    assert summary.rtfx_bounds is not None
    assert quick["run_id"] == f"{1:032x}"
    assert quick["backend"] == "quick"
    assert quick["median_s"] == summary.median_s == pytest.approx(2.0, rel=0.02)
    assert quick["audio_s"] == AUDIO_S * len(SAID)
    assert quick["rtfx_low"] == summary.rtfx_bounds.low
    assert quick["interval_rounds"] == 6
    assert quick["hardware_class"] == (
        "Linux, A Processor, at 3 GHz, 8 cores, 16 GiB, One GPU, Another GPU"
    )
    assert quick["network_sha256"] == "b" * 64
    assert len(str(quick["comparable_key"])) == 16
    assert (quick["recordings"], quick["threads"], quick["gpus"]) == (
        2,
        4,
        ["One GPU", "Another GPU"],
    )
    assert slow["wer"] == pytest.approx(1 / 8)
    assert (bad["status"], bad["message"], bad["stage"]) == ("failed", "no", "load")
    assert bad["rtfx"] is None


def test_the_samples_that_count_give_the_median_that_the_cell_has(run: s.Run) -> None:
    found = [each for each in SAMPLES.records([run]) if each["backend"] == "slow"]
    assert [each["kind"] for each in found[:2]] == ["warmup", "timed"]
    assert not found[0]["counted"]
    per_round: dict[object, dict[object, list[float]]] = {}
    for each in found:
        if each["counted"]:
            assert isinstance(each["seconds"], float)
            recording = per_round.setdefault(each["round"], {})
            recording.setdefault(each["utterance"], []).append(each["seconds"])
    import statistics

    rounds = [sum(map(statistics.median, each.values())) for each in per_round.values()]
    summary = run.cells[1].summary
    assert summary is not None
    assert statistics.median(rounds) == pytest.approx(summary.median_s)
    assert {each["audio_s"] for each in found} == {AUDIO_S}


def test_samples_that_failed_or_were_taken_again_do_not_count() -> None:
    failed = run_of_set(FakeCell("a", sample={"failed": "RuntimeError: no"})).run
    retaken = run_of_set(FakeCell("a", sample={"disturbed": "others", "retaken": True})).run
    for run in (failed, retaken):
        assert {each["counted"] for each in SAMPLES.records([run])} == {False}


def test_transcripts_are_there_only_when_asked_for(run: s.Run) -> None:
    without = tables.samples()
    assert SAID["u1"] not in written("csv", without, run)
    assert SAID["u1"] in written("csv", SAMPLES, run)
    assert [column.name for column in SAMPLES.columns] == [
        *(column.name for column in without.columns),
        "text",
    ]


def test_every_recording_has_a_row_with_its_errors(run: s.Run) -> None:
    found = [each for each in UTTERANCES.records([run]) if each["backend"] == "slow"]
    assert [each["utterance"] for each in found] == ["u1", "u2"]
    assert [each["rate"] for each in found] == [0.25, 0.0]
    assert [each["substitutions"] for each in found] == [1, 0]
    assert [each["audio_s"] for each in found] == [AUDIO_S, AUDIO_S]
    assert {each["metric"] for each in found} == {"wer"}


def test_rows_of_several_runs_follow_each_other(run: s.Run) -> None:
    other = run_of_set(FakeCell("quick"), number=7, tags=["base", "quiet"]).run
    found = rows("csv", CELLS, run, other)
    assert [each["run"] for each in found] == ["1", "1", "1", "7"]
    assert found[-1]["tags"] == "base; quiet"


def test_a_run_is_asked_for_only_when_its_rows_are_due(run: s.Run) -> None:
    def one_and_then_none() -> Iterator[s.Run]:
        yield run
        raise UsageError("there is no such run")

    values = CELLS.values(one_and_then_none())
    assert [next(values)[1] for _ in run.cells] == [1, 1, 1]
    with pytest.raises(UsageError, match="no such run"):
        next(values)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_becomes_a_formula(text: str) -> None:
    run = run_of_set(FakeCell(text, ending="failed", message=text), tags=[text]).run
    (row,) = rows("csv", CELLS, run)
    harmless = text.replace("\r", "\n")  # a terminal would write over the line
    assert row["backend"] == f"'{harmless}"
    assert row["message"] == f"'{harmless}"
    fields = written("tsv", CELLS, run).splitlines()[1].split("\t")
    assert not any(field.lstrip().startswith(tuple("=+@＝＋－＠")) for field in fields)


@pytest.mark.parametrize("text", ["'=1", "''@x"])
def test_taking_the_apostrophe_away_gives_back_what_was_there(text: str) -> None:
    (row,) = rows("csv", CELLS, run_of_set(FakeCell(text)).run)
    assert row["backend"] == f"'{text}"


@pytest.mark.parametrize("text", ["faster-whisper", "'tis", "a=b", "1 - 2", ""])
def test_other_texts_get_no_apostrophe(text: str) -> None:
    (row,) = rows("csv", CELLS, run_of_set(FakeCell("a", ending="failed", message=text or "x")).run)
    assert row["message"] == (text or "x")


def test_a_negative_number_stays_a_number(run: s.Run) -> None:
    found = rows("csv", SAMPLES, run)
    assert found[0]["index"] == "-1"
    summary = run.cells[0].summary
    assert summary is not None
    assert summary.accuracy is not None
    accuracy = msgspec.structs.replace(summary.accuracy, delta=-0.25)
    cell = msgspec.structs.replace(
        run.cells[0], summary=msgspec.structs.replace(summary, accuracy=accuracy)
    )
    (row,) = rows("csv", CELLS, msgspec.structs.replace(run, cells=[cell]))
    assert row["accuracy_delta"] == "-0.25"


@pytest.mark.parametrize("text", NASTY)
def test_a_line_of_tsv_is_a_row_whatever_is_in_it(text: str) -> None:
    run = run_of_set(FakeCell("a", ending="failed", message=text)).run
    header, line, rest = written("tsv", CELLS, run).split("\n")
    assert rest == ""
    found = dict(zip(header.split("\t"), line.split("\t"), strict=True))["message"]
    escapes = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
    plain = re.sub(r"\\.", lambda each: escapes[each[0]], found)
    assert plain == (f"'{text}" if text.startswith("=") else text)


@pytest.mark.parametrize("text", NASTY)
def test_csv_gives_back_every_text(text: str) -> None:
    (row,) = rows("csv", CELLS, run_of_set(FakeCell("a", ending="failed", message=text)).run)
    assert row["message"].removeprefix("'" if text.startswith("=") else "") == text


def test_a_number_that_is_none_is_never_written() -> None:
    column = FlatColumn("x_s", Kind.NUMBER, "s", "x", "seconds")
    (sample, *_) = run_of_set(FakeCell("a")).run.cells[0].samples
    for number in (float("nan"), float("inf"), float("-inf")):
        assert column.value(msgspec.structs.replace(sample, seconds=number)) is None
    assert column.value(msgspec.structs.replace(sample, seconds=2.0)) == 2.0


def test_json_of_one_run_is_run_json_and_of_several_a_list(run: s.Run, tmp_path: Path) -> None:
    assert written("json", CELLS, run) == files.to_json(run)
    other = run_of_set(FakeCell("b"), number=2).run
    third = run_of_set(FakeCell("c"), number=3).run
    documents = json.loads(written("json", CELLS, run, other, third))
    assert [each["manifest"]["run"] for each in documents] == [1, 2, 3]
    assert documents[0] == json.loads(files.to_json(run))


@pytest.mark.parametrize("table", [CELLS, SAMPLES, UTTERANCES], ids=lambda table: table.name)
def test_a_line_of_jsonl_is_an_object_with_every_column_and_its_type(
    run: s.Run, table: Table
) -> None:
    types = {
        Kind.STRING: str,
        Kind.TIME: str,
        Kind.INTEGER: int,
        Kind.NUMBER: float,
        Kind.BOOLEAN: bool,
        Kind.STRINGS: list,
    }
    lines = written("jsonl", table, run).splitlines()
    assert len(lines) == len(list(table.values([run])))
    for line in lines:
        found = json.loads(line)
        assert list(found) == [column.name for column in table.columns]
        for column in table.columns:
            value = found[column.name]
            assert value is None or type(value) is types[column.kind], column.name


class _Page(HTMLParser):
    """Which elements a page has, and the texts of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onerror", "onclick"}
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_html_is_one_table_in_which_nothing_is_markup() -> None:
    hostile = "</td><script>alert(1)</script><img src=x onerror=y>&amp;"
    page = _Page()
    page.feed(
        written("html", CELLS, run_of_set(FakeCell(hostile, ending="failed", message=hostile)).run)
    )
    assert page.elements == {
        *("html", "head", "meta", "title", "style", "body"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert page.cells.count(hostile) == 2
    assert len(page.cells) == len(CELLS.columns)


def test_the_page_lets_nothing_in_but_its_own_style(run: s.Run) -> None:
    import base64
    import hashlib

    text = written("html", CELLS, run)
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text


@pytest.mark.parametrize("text", ["a | b", "<b>x</b>", "`x`", "two\nlines", "[a](http://x)", "*x*"])
def test_nothing_becomes_markdown(text: str) -> None:
    lines = written(
        "md", CELLS, run_of_set(FakeCell("a", ending="failed", message=text)).run
    ).splitlines()
    assert len(lines) == 3
    pipes = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert pipes[0] == pipes[1] == pipes[2]
    for markup in ("<", "[a]", " *x", " `"):
        assert markup not in lines[2]


def test_markdown_has_the_columns_for_people_with_numbers_to_four_digits(run: s.Run) -> None:
    header, rule, first, *_ = written("md", CELLS, run).splitlines()
    names = header.strip("| ").split(" | ")
    assert names == [column.name for column in CELLS.columns if column.brief]
    assert {"backend", "rtfx", "wer", "status", "hardware_class"} <= set(names)
    found = dict(zip(names, first.strip("| ").split(" | "), strict=False))
    assert re.fullmatch(r"[\d.]{1,6}", found["rtfx"])
    assert "---:" in rule


def test_markdown_ranks_only_equal_work_and_shows_the_best_of_each_group_first() -> None:
    run = run_of_set(
        FakeCell("slow", rtf=0.2),
        FakeCell("beams", rtf=0.05, settings={"beam_size": 5}),
        FakeCell("quick"),
    ).run
    head, _, *lines = written("md", CELLS, run).splitlines()
    names = head.strip("| ").split(" | ")
    shown = [dict(zip(names, line.strip("| ").split(" | "), strict=False)) for line in lines]
    assert [(each["backend"].split()[0], each["group"], each["rank"]) for each in shown] == [
        ("quick", "A", "1"),
        ("slow", "A", "2"),
        ("beams", "B", "B1"),
    ]


def test_a_table_without_rows_has_its_header() -> None:
    assert written("csv", CELLS).count("\r\n") == 1
    assert written("jsonl", CELLS) == ""
    assert written("html", CELLS).count("<tr>") == 1


@pytest.mark.parametrize("name", [name for name in files.FORMATS if name != "parquet"])
def test_the_ending_of_a_file_names_the_format(run: s.Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"out.{name.upper()}"
    files.check_writable(path)
    files.write_export(run, path)
    assert path.read_bytes().decode() == written(name, CELLS, run)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_ending_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown suffix '\.xlsx'") as error:
        files.check_writable(tmp_path / "out.xlsx")
    assert all(f".{name}" in error.value.hint for name in files.FORMATS)


def test_what_cannot_be_read_halfway_leaves_the_file_as_it_was(run: s.Run, tmp_path: Path) -> None:
    def breaks() -> Iterator[s.Run]:
        yield run
        raise UsageError("there is no run 9")

    path = tmp_path / "out.csv"
    path.write_text("as it was", encoding="utf-8")
    with pytest.raises(UsageError, match="no run 9"):
        files.save(breaks(), path, "csv", CELLS)
    assert path.read_text(encoding="utf-8") == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stream_gets_everything_or_nothing(run: s.Run) -> None:
    def breaks() -> Iterator[s.Run]:
        yield run
        raise UsageError("there is no run 9")

    out = io.BytesIO()
    with pytest.raises(UsageError):
        files.send(breaks(), out, "csv", CELLS)
    assert out.getvalue() == b""
    files.send([run], out, "csv", CELLS)
    assert out.getvalue().decode() == written("csv", CELLS, run)


def test_json_of_samples_is_refused_because_it_holds_whole_runs(run: s.Run) -> None:
    with pytest.raises(UsageError, match="json contains whole runs") as error:
        files.check_format("json", "samples")
    assert "jsonl" in error.value.hint


def test_parquet_without_pyarrow_names_the_extra(
    run: s.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pyarrow is not installed") as error:
        files.check_writable(tmp_path / "out.parquet")
    assert "mac-whisper-speedtest[parquet]" in error.value.hint


def test_columns_of_cells_stand_in_the_other_tables_unchanged() -> None:
    cells = {column.name: column for column in CELLS.columns}
    for column in tables.SHARED:
        like: Any = cells[column.name]
        assert (column.kind, column.unit, column.path) == (like.kind, like.unit, like.path)
