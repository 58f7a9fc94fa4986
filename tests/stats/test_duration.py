from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from mac_whisper_speedtest.stats import duration
from mac_whisper_speedtest.stats.duration import Point, Shape

DURATIONS = (2, 5, 10, 20, 30, 31, 60, 120)


def measured(
    seconds: Callable[[float], float], noise: float = 0.02, rounds: int = 6, seed: int = 5
) -> dict[int, list[Point]]:
    rnd = random.Random(seed)
    return {
        each: [(x, seconds(x) * math.exp(rnd.gauss(0, noise))) for x in DURATIONS]
        for each in range(rounds)
    }


def test_a_line_is_found_exactly() -> None:
    found = duration.fit([(x, 0.3 + 0.02 * x) for x in DURATIONS])
    assert found.fixed_s == pytest.approx(0.3)
    assert found.per_second == pytest.approx(0.02)
    assert found.at(100) == pytest.approx(2.3)


def test_short_audio_counts_as_much_as_long() -> None:
    """A tenth too much at two minutes hardly changes what a second of audio costs to begin with."""
    points = [(x, 0.3 + 0.02 * x) for x in DURATIONS[:-1]] + [(120.0, 1.1 * 2.7)]
    assert duration.fit(points).fixed_s == pytest.approx(0.3, abs=0.03)


def test_the_coefficients_have_intervals_over_rounds() -> None:
    found = duration.fit_rounds(measured(lambda x: 0.3 + 0.02 * x))
    assert found.fixed_s is not None
    assert found.fixed_s.low < 0.3 < found.fixed_s.high
    assert found.per_second is not None
    assert found.per_second.low < 0.02 < found.per_second.high
    assert found.per_second.relative_width < 0.15
    assert set(found.fits) == set(range(6))


def test_few_rounds_give_fits_without_intervals() -> None:
    found = duration.fit_rounds(measured(lambda x: 0.3 + 0.02 * x, rounds=2))
    assert (found.fixed_s, found.per_second, found.window_s) == (None, None, None)
    assert len(found.fits) == 2
    assert duration.fit_rounds({}).shape is None


@pytest.mark.parametrize(
    ("seconds", "shape", "window_s"),
    [
        (lambda x: 0.3 + 0.02 * x, Shape.LINE, 0.0),
        (lambda x: 0.1 + 0.5 * duration.window_count(x), Shape.STEPS, 0.5),
        (lambda x: 0.05 + 0.01 * x + 0.4 * duration.window_count(x), Shape.BOTH, 0.4),
    ],
)
def test_the_shape_that_made_the_times_explains_them_best(
    seconds: Callable[[float], float], shape: Shape, window_s: float
) -> None:
    found = duration.fit_rounds(measured(seconds))
    assert found.shape is shape
    assert found.window_s is not None
    assert found.window_s.estimate == pytest.approx(window_s, abs=0.05)
    assert found.errors[shape] == min(found.errors.values())


def test_audio_of_one_window_says_nothing_of_steps() -> None:
    short = {each: [(x, 0.3 + 0.02 * x) for x in (2, 5, 10, 20)] for each in range(6)}
    found = duration.fit_rounds(short)
    assert found.shape is None
    assert found.window_s is None
    assert set(found.errors) == {Shape.LINE}


def test_a_window_has_thirty_seconds() -> None:
    assert [duration.window_count(x) for x in (0.5, 29, 30, 30.5, 31, 60, 61, 120)] == [
        1, 1, 1, 2, 2, 2, 3, 4,
    ]  # fmt: skip


def test_one_duration_makes_no_line() -> None:
    with pytest.raises(ValueError, match="two durations, not 1"):
        duration.fit([(10.0, 1.0), (10.0, 1.1)])
    with pytest.raises(ValueError, match="two durations, not 0"):
        duration.fit([])


@pytest.mark.parametrize("bad", [(0.0, 1.0), (5.0, 0.0), (5.0, -1.0), (math.nan, 1.0)])
def test_what_is_no_time_is_refused(bad: Point) -> None:
    with pytest.raises(ValueError, match="above zero"):
        duration.fit([(1.0, 1.0), bad])


def test_break_even_has_an_interval_over_rounds() -> None:
    quick_start = duration.fit_rounds(measured(lambda x: 0.1 + 0.03 * x, seed=1))
    steady = duration.fit_rounds(measured(lambda x: 0.5 + 0.01 * x, seed=2))
    found = duration.break_even(quick_start, steady)
    assert found is not None
    assert found.low < 20 < found.high
    assert found.low <= found.seconds <= found.high
    assert found.high - found.low < 5
    assert found.first_wins_below
    turned = duration.break_even(steady, quick_start)
    assert turned is not None
    assert turned.seconds == pytest.approx(found.seconds)
    assert not turned.first_wins_below


def test_break_even_without_noise_is_a_point() -> None:
    a = duration.fit_rounds(measured(lambda x: 0.1 + 0.03 * x, noise=0))
    b = duration.fit_rounds(measured(lambda x: 0.5 + 0.01 * x, noise=0))
    found = duration.break_even(a, b)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((20, 20))


def test_break_even_between_near_twins_is_open() -> None:
    a = duration.fit_rounds(measured(lambda x: 0.1 + 0.03 * x, noise=0.1, seed=1))
    b = duration.fit_rounds(measured(lambda x: 0.11 + 0.0299 * x, noise=0.1, seed=2))
    found = duration.break_even(a, b)
    assert found is None or (found.low == 0 or found.high == math.inf)


def test_no_break_even_where_one_is_always_faster() -> None:
    a = duration.fit_rounds(measured(lambda x: 0.1 + 0.01 * x))
    b = duration.fit_rounds(measured(lambda x: 0.5 + 0.03 * x))
    assert duration.break_even(a, b) is None
    assert duration.break_even(a, duration.fit_rounds({})) is None
