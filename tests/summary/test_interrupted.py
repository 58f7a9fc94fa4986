"""Recordings that a cell never reached say nothing about its accuracy."""

from __future__ import annotations

import pytest

from fakes.recordings import collection
from fakes.runs import FakeCell, FakeRun, run_of
from mac_whisper_speedtest.compare.accuracy import accuracy_change, text_change
from mac_whisper_speedtest.report import texts
from mac_whisper_speedtest.report.html import transcripts
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import status_of, summary_of
from mac_whisper_speedtest.summary.summarize import summarize

SAID = {f"u{number:02}": "she sells sea shells by the sea shore" for number in range(40)}


def stopped_after(reached: int, *cells: FakeCell) -> s.Run:
    """A run of a set in which the last cell was interrupted after so many recordings."""
    made = run_of(*cells, speech=collection(SAID), rounds=1, passes=1)
    last = made.manifest.cells[-1].id
    samples = [each for each in made.events if isinstance(each, s.Sample) and each.cell == last]
    late = [each for each in samples if each.kind == "timed"][reached:]
    ended = [each for each in made.events if getattr(each, "cell", "") == last]
    gone = {id(each) for each in [*late, *(e for e in ended if isinstance(e, s.WorkerEnded))]}
    events = [each for each in made.events if id(each) not in gone]
    events[-1] = s.RunEnded(state="interrupted", message="interrupted by the user")
    return summarize(FakeRun(made.manifest, events).run)


def accuracy_of(run: s.Run, place: int) -> s.AccuracyResult:
    found = summary_of(run.cells[place]).accuracy
    assert found is not None
    return found


def test_two_identical_engines_do_not_differ_when_one_was_stopped_half_way() -> None:
    run = stopped_after(18, FakeCell("openai-whisper"), FakeCell("whisper.cpp"))
    assert [cell.status for cell in run.cells] == ["ok", "skipped"]
    found = accuracy_of(run, 1)
    assert (found.rate, found.deletions, found.failed, found.unreached) == (0.0, 0, 0, 22)
    assert (found.delta, found.delta_low, found.delta_high) == (0.0, 0.0, 0.0)
    assert found.verdict == "as good"
    assert found.how.endswith(", over the 18 recordings that both measured")
    assert len(found.utterances) == 18
    assert status_of(run.cells[1]) == "skipped"


def test_a_better_engine_that_was_interrupted_is_better_over_what_both_reached() -> None:
    wrong = dict.fromkeys(SAID, "she sells tea shells by the tea shore")
    run = stopped_after(18, FakeCell("openai-whisper", text=wrong), FakeCell("whisper.cpp"))
    found = accuracy_of(run, 1)
    assert found.delta is not None
    assert found.delta < 0
    assert found.verdict == "as good"
    finding = next(each for each in summary_of(run.cells[1]).findings if each.kind == "unreached")
    assert finding.message.startswith("only 18 of 40 recordings were measured")


def test_an_interrupted_cell_is_never_fast_but_wrong() -> None:
    wrong = dict.fromkeys(SAID, "they bought other things in the big town")
    run = stopped_after(18, FakeCell("openai-whisper"), FakeCell("whisper.cpp", text=wrong))
    assert accuracy_of(run, 1).verdict == "worse"
    assert not summary_of(run.cells[1]).fast_but_wrong
    assert status_of(run.cells[1]) == "skipped"


def test_what_was_tried_and_gave_no_text_still_counts_as_missing() -> None:
    failing = {"u00": None}
    run = stopped_after(18, FakeCell("openai-whisper"), FakeCell("whisper.cpp", text=failing))
    found = accuracy_of(run, 1)
    assert (found.failed, found.deletions, found.unreached) == (1, 8, 22)


def test_a_cell_that_reached_nothing_has_no_accuracy() -> None:
    run = stopped_after(0, FakeCell("openai-whisper"), FakeCell("whisper.cpp"))
    assert summary_of(run.cells[1]).accuracy is None


def test_two_runs_are_compared_over_what_both_reached() -> None:
    whole = stopped_after(40, FakeCell("openai-whisper"))
    half = stopped_after(20, FakeCell("openai-whisper"))
    change = accuracy_change(whole.cells[0], half.cells[0])
    assert (change.base_rate, change.new_rate, change.delta, change.verdict) == (
        *(0.0, 0.0, 0.0),
        "as good",
    )
    heard = text_change(whole.cells[0], half.cells[0])
    assert heard is not None
    assert (heard.recordings, heard.same) == (20, 20)


def test_every_table_of_texts_shows_what_was_not_reached_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = stopped_after(18, FakeCell("openai-whisper"), FakeCell("whisper.cpp"))
    found = {cell.id: accuracy_of(run, place) for place, cell in enumerate(run.cells)}
    texts.show_scores(run.cells, found, per_utterance=True)
    shown = capsys.readouterr().out
    assert shown.count("not reached") == 22
    (compared,) = transcripts.compare(run, 40)
    reached = [sum(len(each.cells) for each in one.versions) for one in compared.recordings]
    assert sorted(reached) == [1] * 22 + [2] * 18
