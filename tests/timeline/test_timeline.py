"""The timeline of a run, from journals with known times."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from fakes.events import A, B, ended, loaded, one_round, resumed, sample, started, watched
from fakes.runs import stored, timed
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.timeline import spans, timeline
from mac_whisper_speedtest.timeline.spans import LONGEST_TEXT, Span
from mac_whisper_speedtest.timeline.timeline import Timeline


def drawn(events: list[TimedEvent]) -> Timeline:
    return timeline.timeline_of(timed(events).run, events)


def named(found: Timeline, name: str) -> Span:
    (span,) = [each for each in found.spans if each.name == name]
    return span


def times(found: Timeline, kind: str) -> list[tuple[float, float]]:
    return [(each.start_s, each.end_s) for each in found.spans if each.kind == kind]


def check_nesting(found: Timeline) -> None:
    """A child is inside its parent; spans of one track are disjoint or nested."""
    assert [each.parent for each in found.spans].count(None) == 1
    for place, span in enumerate(found.spans):
        assert span.start_s <= span.end_s
        if span.parent is not None:
            assert span.parent < place
            parent = found.spans[span.parent]
            assert parent.start_s <= span.start_s, span
            assert span.end_s <= parent.end_s, span
    for one in found.spans:
        for other in found.spans:
            if one.track == other.track and one.start_s < other.start_s < one.end_s:
                assert other.end_s <= one.end_s, (one, other)


def test_every_step_is_where_the_journal_says_that_it_was() -> None:
    found = drawn(one_round())
    assert not found.synthetic
    check_nesting(found)
    assert times(found, "run") == [(0.0, 20.5)]
    assert times(found, "round") == [(1.0, 20.0)]
    assert times(found, "visit") == [(1.0, 12.0), (12.5, 15.0)]
    assert times(found, "spawn") == [(1.0, 1.5)]
    assert times(found, "import") == [(2.0, 3.0)]
    assert times(found, "load") == [(3.0, 5.0)]
    assert times(found, "warm-up") == [(5.5, 8.0)]  # until the answer, which came before its line
    assert times(found, "sample") == [(9.0, 10.0), (10.5, 11.5)]
    assert times(found, "end") == [(11.5, 12.0), (12.5, 15.0)]
    assert times(found, "canary") == [(16.5, 17.0)]
    assert times(found, "cool") == [(17.0, 20.0)]


def test_spans_are_inside_their_parents() -> None:
    found = drawn(one_round())

    def above(span: Span) -> list[str]:
        return [] if span.parent is None else [
            found.spans[span.parent].kind, *above(found.spans[span.parent])
        ]  # fmt: skip

    assert above(named(found, "sample 1 (u1)")) == ["visit", "round", "run"]
    assert above(named(found, "canary")) == ["round", "run"]


def test_a_cell_is_a_track_and_the_run_is_the_first() -> None:
    found = drawn(one_round())
    assert found.tracks == ("run 42", A, B)
    assert {each.track for each in found.spans if each.kind == "visit"} == {1, 2}
    assert {each.track for each in found.spans if each.kind in {"run", "round", "canary"}} == {0}


def test_facts_have_units_and_no_transcript() -> None:
    found = drawn(one_round())
    arguments = named(found, "sample 2 (u1)").arguments
    assert arguments["seconds"] == pytest.approx(0.99)
    assert arguments["stage_encode_s"] == 0.4
    assert arguments["characters"] == 20
    assert "she sells" not in repr(found)


def test_what_went_wrong_is_said_on_the_span_and_at_its_moment() -> None:
    found = drawn(one_round())
    crashed = [each for each in found.spans if each.error]
    assert [(each.kind, each.error) for each in crashed] == [("visit", "crashed: SIGSEGV")]
    assert crashed[0].arguments["exit_code"] == -11
    moments_of = {each.kind: (each.track, each.at_s, each.name) for each in found.instants}
    assert moments_of["failed"] == (2, 15.0, "crashed: SIGSEGV")
    assert moments_of["disturbed"] == (1, 10.0, "disturbed: other programs took 2.0 cores")
    assert moments_of["flagged"][:2] == (0, 20.0)


def test_findings_stand_where_the_cells_last_worker_ended() -> None:
    events = one_round()
    run = timed(events).run
    findings = {cell.id: cell.summary.findings for cell in run.cells if cell.summary}
    found = timeline.timeline_of(run, events)
    findings_drawn = [each for each in found.instants if each.kind == "finding"]
    assert findings[A]
    assert len(findings_drawn) == sum(map(len, findings.values()))
    assert {each.at_s for each in findings_drawn if each.track == 1} == {12.0}


def test_the_machine_is_drawn_as_counters() -> None:
    found = drawn(one_round())
    drawn_as = [(each.name, each.at_s, each.value) for each in found.counters if each.track == 0]
    assert drawn_as == [
        ("load_average_1m", 1.0, 0.5),
        ("canary_s", 1.0, 0.2),
        ("canary_s", 17.0, 0.5),
        ("load_average_1m", 20.0, 1.5),
    ]
    memory = [(each.at_s, each.value) for each in found.counters if each.track == 1]
    assert memory == [(5.0, 100.0), (8.0, 200.0), (10.0, 200.0), (11.5, 200.0), (12.0, 0.0)]


def test_the_memory_of_a_mac_is_drawn_as_its_footprint() -> None:
    events = [
        TimedEvent(each.at_s, msgspec.structs.replace(each.event, peak_footprint_bytes=900))
        if isinstance(each.event, s.Sample)
        else each
        for each in one_round()
    ]
    run = timed(events).run
    machine = msgspec.structs.replace(run.manifest.machine, os="Darwin")
    manifest = msgspec.structs.replace(run.manifest, machine=machine)
    found = timeline.timeline_of(msgspec.structs.replace(run, manifest=manifest), events)
    memory = [(each.name, each.value) for each in found.counters if each.track == 1]
    assert memory == [*[("peak_footprint_bytes", 900.0)] * 3, ("peak_footprint_bytes", 0.0)]


def test_import_and_start_that_are_not_reported_separately_are_one_step() -> None:
    events = [
        TimedEvent(1.0, started(A)),
        TimedEvent(5.0, loaded(A, spawn_s=0.2, import_s=None)),
        TimedEvent(6.0, ended(A)),
    ]
    assert times(drawn(events), "start") == [(1.5, 3.0)]


def test_loading_again_in_the_same_process_imports_nothing() -> None:
    events = [
        TimedEvent(1.0, started(A)),
        TimedEvent(5.0, loaded(A)),
        TimedEvent(8.0, loaded(A, rung="warm")),
        TimedEvent(9.0, ended(A)),
    ]
    found = drawn(events)
    assert len(times(found, "import")) == 1
    assert named(found, "load (warm)").start_s == 6.0


def test_a_resumed_run_has_a_gap_where_it_was_interrupted() -> None:
    first = [
        TimedEvent(1.0, started(A)),
        TimedEvent(5.0, loaded(A)),
        TimedEvent(7.0, sample(A, -1, 1.0, utterance="u1")),
    ]
    again = [resumed(0.25), *one_round()]
    found = drawn([*first, *again])
    check_nesting(found)
    assert not found.synthetic
    assert times(found, "pause") == [(7.0, 7.0 + spans.GAP_S + 0.25)]
    # Both halves of the round are drawn; the second one begins after the gap.
    assert times(found, "round") == [(1.0, 7.0), (9.0, 28.0)]
    assert times(found, "visit")[:2] == [(1.0, 7.0), (9.0, 20.0)]
    assert [each.name for each in found.instants if each.kind == "resumed"] == [
        "resumed at 2026-11-21T09:00:00+00:00"
    ]


def test_a_tool_killed_before_its_first_line_leaves_a_gap_at_the_beginning() -> None:
    found = drawn([resumed(0.25), *one_round()])
    assert times(found, "pause") == [(0.0, spans.GAP_S + 0.25)]


def test_without_times_the_steps_follow_one_another_by_their_lengths() -> None:
    events = [TimedEvent(None, each.event) for each in one_round()]
    found = drawn(events)
    assert found.synthetic
    check_nesting(found)
    assert times(found, "import") == [(0.5, 1.5)]
    assert times(found, "load") == [(1.5, 3.5)]
    assert times(found, "warm-up") == [(3.5, 6.0)]
    assert times(found, "sample") == [(6.0, 7.0), (7.0, 8.0)]
    assert times(found, "canary") == [(8.0, 8.5)]
    assert times(found, "run") == [(0.0, 11.5)]


def test_a_journal_whose_first_half_has_no_times_keeps_those_of_the_second() -> None:
    old = [TimedEvent(None, started(A)), TimedEvent(None, sample(A, -1, 2.0, utterance="u1"))]
    new = [resumed(0.0), TimedEvent(4.0, started(B)), TimedEvent(7.0, ended(B))]
    found = drawn([*old, *new])
    assert found.synthetic
    assert times(found, "visit") == [(0.0, 2.0), (7.0, 10.0)]


def test_a_clock_that_went_back_does_not_draw_backwards() -> None:
    events = one_round()
    events[5] = TimedEvent(3.0, events[5].event)
    check_nesting(drawn(events))


def test_a_visit_whose_first_line_was_lost_begins_with_its_first_step() -> None:
    found = drawn(one_round()[1:])
    check_nesting(found)
    assert times(found, "visit")[0] == (1.5, 12.0)


def test_a_round_in_which_nothing_ran_is_a_round_all_the_same() -> None:
    events = [TimedEvent(5.0, watched(canary_after_s=0.5)), TimedEvent(6.0, s.RunEnded(state="x"))]
    found = drawn(events)
    assert times(found, "round") == [(4.5, 5.0)]
    assert [each.name for each in found.instants] == ["x"]


def test_a_sealed_run_without_its_journal_is_drawn_in_the_order_of_its_schedule() -> None:
    events = one_round()
    run = timed(events).run
    found = timeline.timeline_of(run)
    assert found.synthetic
    check_nesting(found)
    assert found.tracks == ("run 42", A, B)
    assert [each.event for each in spans.rebuild_events(run)] == [
        each.event for each in events if not isinstance(each.event, s.Effective)
    ]


def test_secrets_and_paths_in_messages_do_not_get_into_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_TOKEN", "correct-horse-battery")
    message = f"no {Path.home()}/model for correct-horse-battery hf_{'a' * 30} " + "x" * 500
    events = [
        TimedEvent(0.0, started(A)),
        TimedEvent(1.0, ended(A, status="failed", message=message)),
    ]
    found = drawn(events)
    text = repr(found)
    for secret in (str(Path.home()) + "/", "correct-horse-battery", "hf_aaaa"):
        assert secret not in text
    (failed,) = [each for each in found.instants if each.kind == "failed"]
    assert len(failed.name) == LONGEST_TEXT


@pytest.mark.parametrize("timed", [True, False])
def test_a_whole_run_can_be_drawn_with_and_without_the_times_of_its_lines(
    timed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    folder = stored()
    run, events = summarize(folder.replay()), folder.journal().lines
    if not timed:
        events = [TimedEvent(None, each.event) for each in events]
    found = timeline.timeline_of(run, events)
    assert found.synthetic == any(each.at_s is None for each in events)
    check_nesting(found)
    samples = sum(len(cell.samples) for cell in run.cells)
    assert len(times(found, "sample")) + len(times(found, "warm-up")) == samples
    for one, other in pairwise(sorted(times(found, "visit"))):
        assert one[1] <= other[0]
