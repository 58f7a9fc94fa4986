"""Which samples count, as those who show a run are told."""

from __future__ import annotations

import pytest

from fakes.recordings import collection
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.summary import samples
from mac_whisper_speedtest.summary.accuracy import texts_in_order


def test_every_sample_is_there_with_what_became_of_it() -> None:
    run = run_of(FakeCell("a", retaken=[1]), rounds=3).run
    (cell,) = run.cells
    taken = samples.classified(run, cell)
    assert len(taken) == len(cell.samples)
    states = [each.state for each in taken if each.sample.round == 1]
    assert states == ["warm-up", "retaken", "counts", "counts"]


def test_a_round_that_another_stands_in_for_does_not_count() -> None:
    import msgspec

    run = run_of(FakeCell("a"), rounds=3).run
    rounds = [
        msgspec.structs.replace(each, replaced_by=2) if each.round == 0 else each
        for each in run.rounds
    ]
    run = msgspec.structs.replace(run, rounds=rounds)
    by_round = {each.sample.round: each.state for each in samples.classified(run, run.cells[0])}
    assert by_round == {0: "round retaken", 1: "counts", 2: "counts"}
    assert set(samples.rtfx_by_round(run, run.cells[0])) == {1, 2}


def test_counting_samples_agree_with_the_summary() -> None:
    run = run_of(
        FakeCell("a", retaken=[0, 2]),
        FakeCell("b", text={"x": "words", "y": None}),
        speech=collection({"x": "words", "y": "more"}),
        rounds=4,
    ).run
    for cell in run.cells:
        assert cell.summary is not None
        taken = samples.classified(run, cell)
        counting = [each for each in taken if each.state in samples.COUNTED]
        failed = [each for each in taken if each.state == "failed" and each.sample.kind == "timed"]
        assert len(counting) + len(failed) == cell.summary.timed_samples
        assert all(each.relative is not None for each in counting)


def test_the_median_over_rounds_is_the_summarys() -> None:
    import statistics

    run = run_of(FakeCell("a"), rounds=7).run
    (cell,) = run.cells
    assert cell.summary is not None
    assert cell.summary.rtfx is not None
    found = samples.rtfx_by_round(run, cell)
    assert statistics.median(found.values()) == pytest.approx(cell.summary.rtfx)


def test_what_was_said_is_the_most_frequent_text_and_none_where_it_failed() -> None:
    clip = collection({"x": "some words", "y": None})
    run = run_of(FakeCell("a", text={"x": "some words", "y": None}), speech=clip).run
    x, y = texts_in_order(run.cells[0])
    assert (x.name, x.reference, x.text) == ("x", "some words", "some words")
    assert (y.reference, y.text) == (None, None)
