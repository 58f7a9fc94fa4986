"""Change points in series whose truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest

from mac_whisper_speedtest.stats import changepoints

SERIES = 200


def noisy(levels: Sequence[float], rnd: random.Random, spread: float = 0.02) -> list[float]:
    return [each * math.exp(rnd.gauss(0, spread)) for each in levels]


def places(values: Sequence[float], *, margin: float = 0.0, seed: int = 0) -> list[int]:
    found = changepoints.find(values, margin=margin, permutations=99, seed=seed)
    return [each.index for each in found]


def test_a_step_is_found_where_it_is_with_its_size() -> None:
    values = noisy([0.10] * 10 + [0.11] * 10, random.Random(13))
    (found,) = changepoints.find(values)
    assert found.index in {9, 10, 11}
    assert found.p <= 0.01
    assert found.ratio.low < 1.10 < found.ratio.high
    assert found.ratio.estimate == pytest.approx(1.10, abs=0.02)


def test_two_steps_are_two_changes_in_order() -> None:
    values = noisy([1.0] * 12 + [1.3] * 12 + [1.1] * 12, random.Random(5))
    first, second = changepoints.find(values)
    assert first.index == 12
    assert second.index == 24
    assert first.ratio.estimate > 1.2
    assert second.ratio.estimate < 0.9


def test_a_step_of_three_runs_at_the_end_is_found() -> None:
    assert places(noisy([1.0] * 20 + [1.2] * 3, random.Random(2))) == [20]


def test_a_step_after_four_of_eight_runs_is_found() -> None:
    assert places([1.0, 1.01, 0.99, 1.005, 1.2, 1.21, 1.19, 1.205]) == [4]


def test_one_run_on_a_busy_machine_is_no_change() -> None:
    values = noisy([1.0] * 20, random.Random(4))
    values[10] *= 3
    assert places(values) == []


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 1.0, 2.0], [1.0] * 30])
def test_few_or_equal_values_hold_no_change(values: list[float]) -> None:
    assert changepoints.find(values) == []


def test_a_change_within_the_margin_is_none() -> None:
    values = noisy([1.0] * 15 + [1.03] * 15, random.Random(6), spread=0.003)
    assert places(values, margin=0.02) == [15]
    assert places(values, margin=0.05) == []


def test_a_small_change_that_is_dropped_does_not_hide_a_large_one() -> None:
    values = noisy([1.0] * 12 + [1.02] * 12 + [1.3] * 12, random.Random(18), spread=0.002)
    assert places(values, margin=0.01) == [12, 24]
    assert places(values, margin=0.05) == [24]


def test_the_same_series_gives_the_same_answer() -> None:
    values = noisy([1.0] * 8 + [1.04] * 8, random.Random(9), spread=0.03)
    assert changepoints.find(values) == changepoints.find(values)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        changepoints.find([1.0, 0.0, 1.0])


def test_the_statistic_is_that_of_all_pairs() -> None:
    rnd = random.Random(1)
    values = [rnd.choice([1.0, 2.0, 3.0, 4.0]) for _ in range(9)]
    scores = changepoints._scores(values)
    for place in range(len(values)):
        pairs = sum((a > b) - (a < b) for a in values[:place] for b in values[place:])
        assert sum(scores[:place]) == pairs


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("normal", lambda rnd: math.exp(rnd.gauss(0, 0.03))),
        ("outliers", lambda rnd: math.exp(rnd.gauss(0, 0.03)) * rnd.choice([1] * 8 + [2])),
        ("two speeds", lambda rnd: rnd.choice([1.0, 1.1])),
    ],
)
def test_series_without_a_change_give_no_more_false_alarms_than_documented(
    name: str, draw: Callable[[random.Random], float]
) -> None:
    """5 % by construction; 200 series of a true 5 % have more than 10.5 % once in a thousand."""
    rnd = random.Random(11)
    alarms = sum(
        bool(places([draw(rnd) for _ in range(20)], seed=number)) for number in range(SERIES)
    )
    assert alarms / SERIES <= 0.105, name


def test_runs_that_resemble_their_neighbors_give_as_many_false_alarms_as_documented() -> None:
    """docs/explanation/method.md: 24 % of series of 20 runs, at a correlation of 0.6."""
    rnd = random.Random(14)
    alarms = 0
    for number in range(80):
        level, values = rnd.gauss(0, 0.03), []
        for _ in range(20):
            level = 0.6 * level + 0.8 * rnd.gauss(0, 0.03)
            values.append(math.exp(level))
        alarms += bool(places(values, margin=0.02, seed=number))
    assert 0.10 <= alarms / 80 <= 0.38


def test_a_step_as_large_as_twice_the_noise_is_mostly_found() -> None:
    rnd = random.Random(12)
    found = 0
    for _ in range(100):
        points = places(noisy([1.0] * 12 + [1.06] * 12, rnd, spread=0.03))
        found += any(abs(each - 12) <= 3 for each in points)
    assert found >= 90
