"""What a reader sees, from a run made by hand."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from fakes.recordings import collection, cuts, recording
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.audio.recording import AudioSet, LeftOut
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


def printed(run: s.Run, width: int = 140, *, wide: bool = False) -> str:
    console = TextConsole(file=io.StringIO(), width=width)
    table.show_run(run, console=console, saved_as="7", wide=wide)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()[:1] in {"1", "2", "–"}]


def test_the_quickest_comes_first_and_the_others_are_multiples_of_it() -> None:
    text = printed(measured(FakeCell("slow", rtf=0.3), FakeCell("quick", rtf=0.2)))
    first, second = rows(text)[:2]
    assert first[1] == "quick"
    assert second[1] == "slow"
    assert {"2.000", "5.00", "1.00"} <= set(first)
    assert {"3.000", "3.33", "1.50"} <= set(second)
    assert first[0] == second[0] == "–"  # one round says nothing of its spread
    assert "16.7%" in first  # one word of six


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_every_terminal_shows_the_most_important_columns_whole(width: int) -> None:
    run = run_of(
        FakeCell("faster-whisper-batched", rtf=0.31),
        FakeCell("quick", rtf=0.002),
        FakeCell("gone", ending="unavailable"),
    ).run
    text = printed(run, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for heading in ("rank", "backend", "RTFx", "× best", "WER", "peak MB", "status"):
        assert heading in text
    batched = next(cell for cell in run.cells if cell.backend.name == "faster-whisper-batched")
    assert batched.summary is not None
    assert batched.summary.rtfx_bounds is not None
    speed = f"{batched.summary.rtfx:.2f} ({batched.summary.rtfx_bounds.low:.2f}–"
    row = next(line for line in lines if "faster-whisper-batched" in line and speed in line)
    assert "ok" in row
    assert any("gone" in line and "unavailable" in line for line in lines)


@pytest.mark.parametrize("width", [44, 60])
def test_a_very_narrow_terminal_gets_several_tables(width: int) -> None:
    run = measured(FakeCell("faster-whisper-batched", rtf=0.31), FakeCell("quick", rtf=0.002))
    text = printed(run, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("faster-whisper-batched", "3.23", "500", "16.7%", "peak MB", "status"):
        assert word in text


def test_what_does_not_fit_is_named_and_wide_shows_it() -> None:
    run = measured(FakeCell("faster-whisper", rtf=0.3), FakeCell("b", rtf=0.2))
    narrow = " ".join(printed(run, width=80).split())
    assert re.search(r"Not shown at this width: .*median s.*; speedtest show 7 --wide", narrow)
    assert "3.000" not in narrow
    wide = printed(run, width=80, wide=True)
    assert max(map(len, wide.splitlines())) <= 80
    for word in ("faster-whisper", "float32", "3.000", "16.7%", "min–max", "first", "peak", "ok"):
        assert word in wide
    assert "Not shown" not in wide
    assert "Not shown" not in printed(run, width=250)


def test_the_answer_is_above_the_table_in_words() -> None:
    run = run_of(FakeCell("slow", rtf=0.3), FakeCell("quick", rtf=0.2)).run
    answer = printed(run).splitlines()[1]
    assert re.fullmatch(
        r"  quick 1\.2\.3 float32 is the fastest: [45]\.\d\d times real time, "
        r"1\.\d\d–1\.\d\d times as fast as slow 1\.2\.3 float32; WER 0\.0%\.",
        answer,
    )


@pytest.mark.parametrize("rounds", [1, 2])
def test_few_rounds_give_an_order_by_speed_and_no_ranks(rounds: int) -> None:
    run = run_of(FakeCell("slow", rtf=0.4), FakeCell("quick", rtf=0.1), rounds=rounds).run
    text = printed(run)
    assert re.search(
        r"^  quick 1\.2\.3 float32 was the quickest: about [\d.]+ times real time; ranks need at "
        r"least 3 rounds; WER 0\.0%\.$",
        text,
        re.MULTILINE,
    )
    assert [row[:2] for row in rows(text)[:2]] == [["–", "quick"], ["–", "slow"]]
    assert "1–2" not in text
    assert "Ranks need at least 3 rounds, confidence intervals 6: add --rounds 6" in text


def test_a_note_says_which_difference_the_run_could_have_found() -> None:
    said = r"This run could detect a difference of \d+\.\d% between any two cells \(power 0\.9\)\."
    run = run_of(FakeCell("a"), FakeCell("b"), FakeCell("c"), rounds=6).run
    assert re.search(said, printed(run))
    few = run_of(FakeCell("a"), FakeCell("b"), rounds=2).run
    assert "could detect" not in printed(few)
    noisy = (FakeCell("d", spread=0.3, rtf=0.2),)
    quiet = tuple(FakeCell(name, spread=0.01, rtf=0.2) for name in "abc")
    run = run_of(*quiet, *noisy, rounds=8).run
    assert re.search(
        r"could detect a difference of \d\.\d% between most cells, \d+% between any two",
        printed(run),
    )


def test_the_answer_names_a_tie() -> None:
    run = run_of(FakeCell("a"), FakeCell("b")).run
    assert re.search(
        r"^  [ab] \S+ float32 and [ab] \S+ float32 are tied for rank 1: [\d.]+ to [\d.]+ times",
        printed(run),
        re.MULTILINE,
    )


def test_one_cell_has_nothing_beside_it() -> None:
    assert "times real time; no other cell did equal work" in printed(run_of(FakeCell("a")).run)


def test_a_recording_without_words_is_a_note_that_says_how_to_give_them() -> None:
    def note(speech: AudioSet) -> str:
        text = " ".join(printed(run_of(FakeCell("a"), speech=speech, rounds=1).run).split())
        return text[text.find("word error rate") - 60 :] if "word error rate" in text else ""

    one = note(recording("talk.mp3", reference=None))
    assert "because talk.mp3 has no reference text" in one
    assert "speedtest score RUN --reference-text FILE" in one
    assert "a .txt of the same name beside the recording" in one
    assert "none of the 2 recordings of" in note(collection({"a": None, "b": None}))
    unscored = [LeftOut("c", "its reference text is empty")]
    assert "is of 2 of the 3 recordings of" in note(
        collection({"a": None, "b": "said", "d": "said"})
    )
    assert not note(collection({"b": "said", "c": None}, unscored=unscored))
    assert not note(recording())
    assert not note(cuts(2.0, 5.0))


def test_a_note_that_concerns_several_cells_is_one_line() -> None:
    odd = (FakeCell("odd", settings={"beam_size": 5}), FakeCell("even", settings={"beam_size": 5}))
    lines = [line for line in printed(measured(*odd)).splitlines() if "beam_size" in line]
    assert len(lines) == 1
    assert {"odd 1.2.3 float32", "even 1.2.3 float32"} <= set(
        lines[0].strip().partition(": ")[0].split("; ")
    )


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
    assert (
        "odd 1.2.3 float32: clock: the backend reported 0.100 s for a call that took 1.100 s"
        in text
    )


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


def test_peak_memory_of_a_mac_is_called_what_it_is() -> None:
    mac = {"os": "Darwin", "os_version": "15.5"}
    held = {
        "peak_footprint_bytes": 5_432_000_000,
        "allocator_bytes": {"mlx_peak_bytes": 4321 * 10**6},
    }
    run = run_of(FakeCell("mlx", sample=held), machine=mac).run
    text = printed(run, 80)
    assert "footprint MB status" in " ".join(text.split())
    assert "5432" in text
    said = " ".join(text.split())
    assert "Footprint MB is the peak footprint (with Metal's memory) of a process after" in said
    assert "allocator MB; speedtest show 7 --wide" in text
    wide = printed(run, 200, wide=True)
    assert "allocator MB" in wide
    assert "4321" in wide
    assert all(len(line) <= 80 for line in text.splitlines())


def test_peak_memory_that_was_not_measured_is_said_with_its_reason() -> None:
    mac = {"os": "Darwin", "os_version": "15.5"}
    text = " ".join(printed(run_of(FakeCell("old"), machine=mac).run).split())
    assert "Peak memory was not measured: the system does not report it, or an older" in text
