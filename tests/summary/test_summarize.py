"""Figures of a cell, each with one meaning whatever was measured."""

from __future__ import annotations

import pytest

from fakes.recordings import cuts
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.results import schema as s


def figures(run: s.Run) -> s.Summary:
    (cell,) = run.cells
    assert cell.summary is not None
    return cell.summary


def test_the_spread_beside_a_median_is_of_the_same_seconds() -> None:
    """Of a set: seconds for all of it, not for one of its recordings."""
    cell = FakeCell("a", [0.1, 0.2, 0.3])
    found = figures(run_of(cell, speech=cuts(2, 10, 28), passes=2).run)
    assert (found.min_s, found.median_s, found.max_s) == pytest.approx((4.0, 8.0, 12.0))
    single = figures(run_of(cell, passes=2).run)
    assert (single.min_s, single.median_s, single.max_s) == pytest.approx((1.0, 2.0, 3.0))


def test_a_pass_that_lacks_recordings_is_not_the_fastest() -> None:
    """The short recording costs more per second; a pass with nothing else would stand out."""
    made = run_of(FakeCell("a", fixed_s=1.0, spread=0.0), speech=cuts(2, 28), rounds=2, passes=1)
    last = next(
        each
        for each in reversed(made.events)
        if isinstance(each, s.Sample) and each.utterance == "28s"
    )
    made.events.remove(last)
    found = figures(made.run)
    assert (found.min_s, found.max_s) == pytest.approx((5.0, 5.0))


def test_peak_memory_is_of_all_calls_and_is_known_after_the_first_too() -> None:
    made = run_of(FakeCell("a", peak_bytes=801, sample={"peak_rss_bytes": 920}))
    found = figures(made.run)
    assert (found.first_peak_memory_bytes, found.peak_memory_bytes) == (801, 920)
