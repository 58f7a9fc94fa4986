"""Axes: room for every value, round numbers, and no lie about where they begin."""

from __future__ import annotations

import random

import pytest

from mac_whisper_speedtest.report.html import charts


@pytest.mark.parametrize("seed", range(40))
def test_every_value_has_room_and_ticks_are_few_and_rise(seed: int) -> None:
    rnd = random.Random(seed)
    values = [rnd.uniform(-3, 3) * 10 ** rnd.randint(-4, 6) for _ in range(rnd.randint(1, 9))]
    for zero in (None, True, False):
        scale = charts.fit_scale(values, zero=zero)
        assert scale.low <= min(values) <= max(values) <= scale.high
        assert all(0 <= scale.fraction(value) <= 1 for value in values)
        assert list(scale.ticks) == sorted(set(scale.ticks))
        assert 2 <= len(scale.ticks) <= 12
        labels = [scale.label(each) for each in scale.ticks]
        assert len(set(labels)) == len(labels)


def test_an_axis_begins_at_zero_unless_that_would_waste_most_of_it() -> None:
    assert charts.fit_scale([3.0, 7.0]).low == 0
    assert charts.fit_scale([100.0, 102.0]).low >= 95
    assert charts.fit_scale([100.0, 102.0], zero=True).low == 0


def test_very_different_values_get_a_logarithmic_axis_where_that_is_allowed() -> None:
    assert charts.fit_scale([0.5, 100.0], logarithm=True).log
    assert not charts.fit_scale([0.5, 100.0]).log
    assert not charts.fit_scale([5.0, 100.0], logarithm=True).log
    scale = charts.fit_scale([0.5, 100.0], logarithm=True)
    assert scale.fraction(scale.low) == 0
    assert scale.fraction(scale.high) == 1
    assert scale.fraction(10) - scale.fraction(1) == pytest.approx(
        scale.fraction(100) - scale.fraction(10)
    )


def test_labels_have_the_digits_that_they_need() -> None:
    whole = charts.fit_scale([0.0, 1.0])
    assert [whole.label(each) for each in whole.ticks] == [
        "0.0", "0.2", "0.4", "0.6", "0.8", "1.0"
    ]  # fmt: skip
    quarter = charts.fit_scale([0.0, 1.25])
    assert quarter.label(0.25) == "0.25"


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [-1.0], [float("nan")], [float("inf"), 1.0]])
def test_degenerate_values_still_give_an_axis(values: list[float]) -> None:
    for zero in (None, True, False):
        scale = charts.fit_scale(values, zero=zero, logarithm=True)
        assert scale.high > scale.low
        assert 0 <= scale.fraction(0.3) <= 1
