"""A sample has every speaker and length in proportion, and is the same wherever it is drawn."""

from __future__ import annotations

import random
from collections import Counter

from mac_whisper_speedtest.audio.sample import Item, draw

SET = [
    Item(f"{speaker}-{number}", speaker=speaker, length=float(number))
    for speaker, count in (("a", 90), ("b", 60), ("c", 30))
    for number in range(count)
]


def test_a_sample_has_exactly_as_many_as_asked_for() -> None:
    for n in (1, 2, 7, 100, 179):
        assert len(draw(SET, n, seed=1)) == n


def test_a_small_set_is_taken_whole() -> None:
    assert draw(SET[:5], 5, seed=1) == draw(SET[:5], 50, seed=2) == {i.key for i in SET[:5]}


def test_speakers_and_lengths_have_their_share() -> None:
    drawn = draw(SET, 60, seed=3)

    speakers = Counter(key.partition("-")[0] for key in drawn)
    assert speakers["a"] - 30 in range(-2, 3)
    assert speakers["b"] - 20 in range(-2, 3)
    assert speakers["c"] - 10 in range(-2, 3)
    lengths = sorted(item.length or 0 for item in SET)
    thirds = Counter(
        sum(float(key.partition("-")[2]) >= lengths[at] for at in (60, 120)) for key in drawn
    )
    assert all(abs(thirds[third] - 20) <= 3 for third in range(3))


def test_the_first_of_a_sorted_set_are_not_the_sample() -> None:
    assert draw(SET, 20, seed=1) != {item.key for item in SET[:20]}


def test_the_sample_does_not_depend_on_the_order_of_the_set() -> None:
    shuffled = SET.copy()
    random.Random(5).shuffle(shuffled)

    assert draw(shuffled, 40, seed=9) == draw(SET, 40, seed=9)


def test_another_seed_draws_another_sample() -> None:
    assert draw(SET, 40, seed=1) != draw(SET, 40, seed=2)


def test_the_draw_is_fixed_for_good() -> None:
    known = [Item(name) for name in "abcdefgh"]

    assert draw(known, 3, seed=0) == {"e", "g", "h"}


def test_every_item_is_drawn_by_some_seed() -> None:
    drawn = set().union(*(draw(SET, 18, seed) for seed in range(100)))

    assert len(drawn) > 0.95 * len(SET)
