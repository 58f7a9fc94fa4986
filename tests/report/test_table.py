"""What a reader sees, from a run made by hand."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from fakes.recordings import recording
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.export import files
from mac_whisper_speedtest.report import table
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.results import schema as s


def measured(*cells: FakeCell, state: str = "complete") -> s.Run:
    """A run of one round with two passes over 10 s, of which every text has one word in six wrong.

    Each sample takes exactly what its cell says.
    """
    cells = tuple(replace(each, spread=0.0, text="to be or not to be") for each in cells)
    speech = recording(reference="to be or not to bee")
    return run_of(*cells, speech=speech, rounds=1, state=state).run


def printed(run: s.Run, width: int = 140) -> str:
    console = TextConsole(file=io.StringIO(), width=width)
    table.show_run(run, console=console, saved_as="7")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()[:1] in {"1", "2"}]


def test_the_quickest_comes_first_and_the_others_are_multiples_of_it() -> None:
    text = printed(measured(FakeCell("slow", rtf=0.3), FakeCell("quick", rtf=0.2)))
    first, second = rows(text)[:2]
    assert first[1] == "quick"
    assert second[1] == "slow"
    assert {"2.000", "5.00", "1.00"} <= set(first)
    assert {"3.000", "3.33", "1.50"} <= set(second)
    assert first[0] == second[0] == "1–2"  # one round says nothing of its spread
    assert "16.7%" in first  # one word of six


def test_a_narrow_terminal_gets_two_tables_and_loses_nothing() -> None:
    run = measured(FakeCell("faster-whisper", rtf=0.3), FakeCell("b", rtf=0.2))
    narrow = printed(run, width=80)
    assert max(len(line) for line in narrow.splitlines()) <= 80
    for word in ("faster-whisper", "float32", "3.000", "16.7%", "min–max", "first", "peak", "ok"):
        assert word in narrow


def test_a_failed_cell_stays_in_the_table_with_its_reason_below() -> None:
    text = printed(
        measured(
            FakeCell("good"),
            FakeCell("bad", ending="timeout", message="no answer after 60 s of load"),
        )
    )
    assert "timeout" in text
    assert "bad: timeout in load: no answer after 60 s of load" in text


def test_a_deviation_and_a_lying_clock_are_flagged_and_explained() -> None:
    odd = FakeCell("odd", rtf=0.01, sample={"wall_s": 1.1}, settings={"beam_size": 5})
    text = printed(measured(odd))
    assert "ok (contract, clock)" in text
    assert "odd 1.2.3 float32: contract: beam_size: 5 instead of 1" in text
    assert "odd 1.2.3 float32: clock: reports 0.100 s where 1.100 s passed" in text


def test_fewer_samples_than_asked_for_are_said() -> None:
    made = run_of(FakeCell("few"), rounds=1)
    *_, last = (each for each in made.events if isinstance(each, s.Sample))
    made.events.remove(last)
    text = printed(made.run)
    assert "few 1.2.3 float32: samples: 1 of 2 timed samples" in text


@pytest.mark.parametrize("state", ["interrupted", "recovered", "stopped"])
def test_a_run_that_did_not_end_by_itself_says_so(state: str) -> None:
    assert f"{state}: run 7" in printed(measured(FakeCell("a"), state=state))


def test_a_csv_field_cannot_become_a_formula() -> None:
    gone = FakeCell("gone", ending="unavailable")
    run = measured(FakeCell("=cmd()"), FakeCell("b,\n c", rtf=0.2), gone)
    first, second, absent = csv.DictReader(io.StringIO(files.to_csv(run)))
    assert first["backend"] == "'=cmd()"
    assert second["backend"] == "b,\n c"
    assert float(first["median_s"]) == 1.0
    assert absent["load_s"] == ""
