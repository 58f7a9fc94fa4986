"""A run that was cut off anywhere goes on to its end: nothing is lost, nothing taken twice."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from fakes.resumed import Dutiful, finished, latest, measure, wanted
from fakes.runs import FakeCell, run_of
from fakes.sessions import CRASH, Marks, Scripted, by_name, noisy, sample, summary
from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.results import journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run import resume
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.run.session import resummarize
from mac_whisper_speedtest.summary import samples

POINTS = int(os.environ.get("SPEEDTEST_CRASH_POINTS", "5"))


@pytest.fixture
def talks(prepared: Callable[..., Prepared]) -> Callable[..., Prepared]:
    """As ``prepared``, for a set of four recordings."""

    def prepare(**changes: object) -> Prepared:
        clips = tuple(
            Recording(name, np.full(16000, 0.1, np.float32), "the best of times", "en", "made here")
            for name in ("one", "two", "three", "four")
        )
        speech = AudioSet("short", clips, "made here", "set")
        return replace(prepared(**changes), speech=speech)

    return prepare


def points(events: int) -> list[int]:
    """After how many events the tool dies: the same ones in every run of the tests."""
    return sorted(random.Random(6).sample(range(1, events + 1), min(POINTS, events)))


def test_a_run_that_was_killed_anywhere_goes_on_without_a_sample_lost_or_taken_twice(
    talks: Callable[..., Prepared],
) -> None:
    ready = talks(rounds=2, passes=2)
    whole = measure(ready, Dutiful())
    assert whole is not None
    events = whole[0].journal().events
    for point in points(len(events)):
        assert measure(ready, Dutiful(), dies_after=point) is None
        run = latest()
        before = finished(run.replay())
        execute = Dutiful()
        done = measure(ready, execute, resume=run)
        assert done is not None
        assert done[0] == run
        assert finished(done[1]) == wanted(ready, 2, 2), f"killed after event {point}"
        assert not before.keys() & set(execute.taken), f"killed after event {point}"
        assert [cell.status for cell in done[1].cells] == ["ok"] * 3
        assert done[1].manifest.outcome == s.Outcome(state="complete")
        assert {cell.id: summary(cell).rounds_ok for cell in done[1].cells} == {
            cell.id: 2 for cell in ready.cells
        }
        assert resummarize(run) == done[1]


def test_a_run_can_be_cut_off_again_and_again(talks: Callable[..., Prepared]) -> None:
    ready = talks(rounds=2)
    assert measure(ready, Dutiful(), dies_after=9) is None
    run, sessions, done = latest(), 1, None
    while done is None:
        done = measure(ready, Dutiful(), resume=run, dies_after=8)
        sessions += 1
    assert sessions > 3
    assert finished(done[1]) == wanted(ready, 2, 1)
    assert all(cell.status == "ok" for cell in done[1].cells)


def test_a_new_process_has_a_first_call_of_its_own_which_is_no_timed_sample(
    talks: Callable[..., Prepared],
) -> None:
    ready = talks(rounds=1)
    assert measure(ready, Dutiful(), dies_after=5) is None
    run = latest()
    execute = Dutiful()
    done = measure(ready, execute, resume=run)
    assert done is not None
    (cut,) = [cell for cell in done[1].cells if any(e.attempt == 1 for e in cell.endings)]
    assert Counter(each.kind for each in cut.samples) == {"warmup": 2, "timed": 4}
    assert execute.warmed_up_on[0] == "one"
    assert {each.status for each in cut.endings} == {"skipped", "ok"}
    assert [each.kind for each in summary(cut).findings] == ["resumed"]


def test_rounds_that_ended_are_not_visited_again(prepared: Callable[..., Prepared]) -> None:
    ready = prepared(rounds=3)
    per_round = 3 * 6  # three cells: start, settings, first call, two samples, end
    assert measure(ready, Dutiful(), dies_after=2 * per_round) is None
    execute = Dutiful()
    assert measure(ready, execute, resume=latest()) is not None
    assert {number for _, number, _, _ in execute.taken} == {2}


def test_what_failed_is_tried_again_when_the_run_goes_on(
    prepared: Callable[..., Prepared],
) -> None:
    ready = prepared(rounds=3, fail_fast=True)
    done = measure(ready, Scripted(b=lambda number, _: CRASH))
    assert done is not None
    assert done[1].manifest.outcome is not None
    assert done[1].manifest.outcome.state == "stopped"
    done = measure(ready, Dutiful(), resume=done[0])
    assert done is not None
    cells = by_name(done[1])
    assert {name: cell.status for name, cell in cells.items()} == dict.fromkeys("abc", "ok")
    assert [e.status for e in cells["b"].endings].count("crashed") == 1  # it is not forgotten
    kinds = {each.kind: each.message for each in summary(cells["b"]).findings}
    assert kinds["crash"].startswith("1 of 4 processes failed and others finished their rounds")


def test_a_round_that_stands_in_for_another_keeps_its_number(
    prepared: Callable[..., Prepared],
) -> None:
    ready = prepared(rounds=3)
    per_round = 3 * 6 + 1
    for point in (2 * per_round, 2 * per_round + 7):  # before and in the round that stands in
        assert measure(ready, Dutiful(), watcher=Marks(1), dies_after=point) is None
        done = measure(ready, Dutiful(), watcher=Marks(1), resume=latest())
        assert done is not None
        assert {(each.round, each.replaced_by) for each in done[1].rounds} == {
            (0, None),
            (1, 3),
            (3, None),
            (2, None),
        }
        assert finished(done[1]) == wanted(ready, 4, 2)


def test_what_the_stopping_rule_decided_stands(prepared: Callable[..., Prepared]) -> None:
    ready = prepared(rounds=6, ci_width=0.02, max_rounds=10)
    quick, slow = noisy(1, 0.5, 0.3), noisy(2, 1.0, 0.01)

    def seconds(name: str, number: int) -> float:
        return quick(number, 0) if name == "b" else slow(number, 0)

    whole = measure(ready, Dutiful(seconds))
    assert whole is not None
    events = whole[0].journal().events
    decided = [at for at, event in enumerate(events, start=1) if isinstance(event, s.Decided)]
    for point in [*points(len(events))[:2], decided[0] - 1, decided[0], decided[-1]]:
        assert measure(ready, Dutiful(seconds), dies_after=point) is None
        done = measure(ready, Dutiful(seconds), resume=latest())
        assert done is not None
        assert done[1].decisions == whole[1].decisions, f"killed after event {point}"
        assert finished(done[1]) == finished(whole[1])


def test_the_first_decision_by_default_stands_too(prepared: Callable[..., Prepared]) -> None:
    ready = prepared(rounds=None)
    speeds = {"a": noisy(1, 1.0, 0.015), "b": noisy(2, 1.04, 0.015), "c": noisy(3, 10.0, 0.015)}

    def seconds(name: str, number: int) -> float:
        return speeds[name](number, 0)

    whole = measure(ready, Dutiful(seconds))
    assert whole is not None
    events = whole[0].journal().events
    first = next(at for at, event in enumerate(events, start=1) if isinstance(event, s.Decided))
    for point in (5, first - 1, first, first + 3):
        assert measure(ready, Dutiful(seconds), dies_after=point) is None
        done = measure(ready, Dutiful(seconds), resume=latest())
        assert done is not None
        assert done[1].decisions[0] == whole[1].decisions[0], f"killed after event {point}"
        assert done[1].decisions[-1].cells == []
        counts = Counter(cell.id for cell in done[1].cells for _ in range(summary(cell).rounds_ok))
        assert counts[ready.cells[2].id] == 6 < counts[ready.cells[0].id] <= 15


def test_the_time_that_a_cell_took_before_is_no_longer_there_for_it(
    prepared: Callable[..., Prepared],
) -> None:
    ready = prepared(rounds=4, max_time_s=0.1)
    name = ready.cells[0].id

    def line(at_s: float, event: s.Event) -> journal.TimedEvent:
        return journal.TimedEvent(at_s=at_s, event=event)

    def started(attempt: int) -> s.WorkerStarted:
        return s.WorkerStarted(cell=name, round=0, attempt=attempt)

    tool = s.ToolInfo(name="t", version="1", git_sha=None)
    ended = s.WorkerEnded(
        cell=name,
        round=0,
        attempt=1,
        status="ok",
        stage="",
        error_class="",
        message="",
        log_tail="",
        exit_code=None,
    )
    found = resume.resume_state(
        [
            line(1.0, started(0)),
            line(
                4.0, s.Effective(cell=name, round=0, attempt=0, values={}, observed=[], remarks=[])
            ),
            line(0.5, s.Resumed(at="", tool=tool)),
            line(1.0, started(1)),
            line(3.0, ended),
            line(3.5, s.RunEnded(state="interrupted")),
        ]
    )
    assert found.spent_s == {name: 3.0 + 2.0}
    assert found.elapsed_s == 4.0 + 3.5
    assert found.visit(name, 0).attempts == 2
    assert found.visit(name, 0).ended


def test_a_recording_that_ends_its_worker_counts_as_failed_and_the_others_are_measured(
    talks: Callable[..., Prepared],
) -> None:
    execute = Dutiful()
    execute.deadly = {"two", "four"}
    done = measure(talks(rounds=2), execute)
    assert done is not None
    for cell in done[1].cells:
        assert cell.status == "ok"
        failed = {each.utterance for each in cell.samples if each.failed}
        assert failed == {"two", "four"}
        found = summary(cell)
        assert found.accuracy is not None
        assert (found.accuracy.failed, found.accuracy.deletions) == (2, 8)
        said = {each.kind: each.message for each in found.findings}
        assert said["crash"].startswith("4 of 6 processes failed and others finished their rounds")
        assert said["failed"].startswith("no text for 2 of 4 recordings")
        assert found.median_s == pytest.approx(4.0)  # 1 s for each second of what was transcribed
    assert finished(done[1]) == wanted(talks(rounds=2), 2, 1)


def test_the_first_call_is_never_on_a_recording_that_ended_a_worker(
    talks: Callable[..., Prepared],
) -> None:
    execute = Dutiful()
    execute.deadly = {"one"}
    assert measure(talks(rounds=1), execute) is not None
    assert sorted(Counter(execute.warmed_up_on).items()) == [("one", 3), ("two", 3)]


def test_a_recording_has_as_many_chances_as_retries_were_asked_for(
    talks: Callable[..., Prepared],
) -> None:
    execute = Dutiful()
    execute.deadly = {"two"}
    ready = talks(rounds=1, retries=2)
    done = measure(ready, execute)
    assert done is not None
    tried = Counter(name for cell, _, name, _ in execute.taken if cell == ready.cells[0].id)
    assert tried == {"one": 1, "two": 3, "three": 1, "four": 1}


def test_a_backend_that_dies_of_everything_is_given_up_after_two_recordings(
    talks: Callable[..., Prepared],
) -> None:
    execute = Dutiful()
    execute.deadly = {"one", "two", "three", "four"}
    ready = talks(rounds=2)
    done = measure(ready, execute)
    assert done is not None
    assert [cell.status for cell in done[1].cells] == ["crashed"] * 3
    assert all(len(cell.samples) == 4 for cell in done[1].cells)  # two first calls, two failures


def test_of_a_sample_that_was_taken_in_two_attempts_the_later_counts() -> None:
    (cell,) = run_of(FakeCell(), rounds=1).run.cells
    where = {"cell": cell.id, "round": 0, "attempt": 0}
    again = {**where, "attempt": 1}
    taken = [
        sample(where, 0, 1.0),
        sample(where, 1, 2.0),
        sample(again, 1, 3.0),
    ]
    plain = [msgspec.convert(each, s.SampleResult, from_attributes=True) for each in taken]
    found = samples.timed_samples(msgspec.structs.replace(cell, samples=plain))
    assert [each.seconds for each in found] == [1.0, 3.0]
