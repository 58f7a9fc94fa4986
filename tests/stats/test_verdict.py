from __future__ import annotations

import math

import pytest

from mac_whisper_speedtest.stats import ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Verdict


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, 10)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.03, 1.07, Verdict.SLOWER),
        (1.01, 1.07, Verdict.AMBIGUOUS),
        (0.9, 0.95, Verdict.FASTER),
        (0.9, 0.99, Verdict.AMBIGUOUS),
        (0.99, 1.01, Verdict.SAME),
        (1.0, 1.0, Verdict.SAME),
        (0.9, 1.1, Verdict.AMBIGUOUS),
        (1.005, 1.015, Verdict.SAME),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, expected: Verdict) -> None:
    assert ranking.verdict_of(interval(low, high), 0.02) is expected


def test_both_sides_of_a_pair_have_opposite_verdicts() -> None:
    for low, high in ((1.03, 1.07), (0.99, 1.01), (1.02, 1.021), (0.981, 0.99)):
        ratio = interval(low, high)
        verdict, turned = (
            ranking.verdict_of(ratio, 0.02),
            ranking.verdict_of(ratio.inverse(), 0.02),
        )
        assert turned is ranking.OPPOSITE.get(verdict, verdict)


def test_without_an_interval_nothing_is_known() -> None:
    assert ranking.verdict_of(None, 0.02) is Verdict.AMBIGUOUS


def test_without_a_margin_cells_are_told_apart_or_not() -> None:
    assert ranking.verdict_of(interval(1.001, 1.002), 0.0) is Verdict.SLOWER
    assert ranking.verdict_of(interval(0.99, 1.01), 0.0) is Verdict.AMBIGUOUS


def test_the_margin_is_two_per_cent_or_the_machines_noise() -> None:
    assert ranking.margin(None) == 0.02
    assert ranking.margin(0.005) == 0.02
    assert ranking.margin(0.07) == 0.07


@pytest.mark.parametrize("bad", [-0.01, math.nan, math.inf])
def test_what_is_no_margin_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        ranking.margin(bad)
    with pytest.raises(ValueError, match="margin"):
        ranking.verdict_of(None, bad)
