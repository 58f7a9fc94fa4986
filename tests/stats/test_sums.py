"""Sums of all pairs, found one by one: as if they had all been made and sorted."""

from __future__ import annotations

import random
import statistics

import pytest

from mac_whisper_speedtest.stats import sums


def values(seed: int, count: int) -> list[float]:
    """With equal ones and zeros among them."""
    chance = random.Random(seed)
    return [chance.choice((0.0, 0.25, chance.gauss(0, 1))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_of_many_values_every_place_holds_the_sum_that_sorting_would_put_there(seed: int) -> None:
    first, second = values(seed, 250), values(seed + 10, 240)
    found = sums.of_pairs(first)
    made = sorted(x + y for at, x in enumerate(first) for y in first[at:])
    assert not isinstance(found, list)
    places = [0, 1, 777, len(made) // 3, len(made) // 2, -778, -2, -1]
    assert len(found) == len(made)
    assert [found[at] for at in places] == [made[at] for at in places]
    assert sums.median(found) == statistics.median(made)
    both = sums.of_two(first, second)
    made = sorted(x + y for x in first for y in second)
    assert not isinstance(both, list)
    assert [both[at] for at in places] == [made[at] for at in places]
    assert sums.median(both) == statistics.median(made)


def test_of_few_values_they_are_simply_made() -> None:
    assert sums.of_pairs([3.0, 1.0]) == [2.0, 4.0, 6.0]
    assert sums.of_two([3.0, 1.0], [0.5]) == [1.5, 3.5]


def test_equal_values_have_one_sum() -> None:
    found = sums.of_pairs([0.1] * 300)
    assert {found[0], sums.median(found), found[-1]} == {0.2}
    assert list(found[10:12]) == [0.2, 0.2]
