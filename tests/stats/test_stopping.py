from __future__ import annotations

import itertools
import math
import random

import pytest

from mac_whisper_speedtest.stats import ranking, stopping
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Pair, Ranking, Verdict


def ranked(speeds: dict[str, float], noise: float, rounds: int = 12) -> Ranking:
    rnd = random.Random(4)
    cells = {
        name: {each: speed * (1 + rnd.uniform(-noise, noise)) for each in range(rounds)}
        for name, speed in speeds.items()
    }
    return ranking.rank(cells, margin=0.02)


def undecided(*found: Ranking, left_rounds: int | None = None) -> frozenset[str]:
    """With time for everything."""
    return stopping.undecided_cells(
        *found, round_s=dict.fromkeys("abcde", 1.0), left_s=math.inf, left_rounds=left_rounds
    )


def interval(low: float, high: float) -> Interval:
    return Interval(1.0, low, high, 0.95, 10)


def test_looks_grow_geometrically_from_the_minimum_to_the_maximum() -> None:
    found = stopping.looks(6, 60)
    assert found[0] == 6
    assert found[-1] == 60
    assert all(before < after <= 1.35 * before for before, after in itertools.pairwise(found))
    assert stopping.looks(6, 60, growth=1.5) == (6, 9, 14, 21, 32, 48, 60)
    assert stopping.looks(5, 5) == (5,)
    assert stopping.looks(1, 4) == (1, 2, 3, 4)


@pytest.mark.parametrize(("minimum", "maximum", "growth"), [(0, 5, 2), (6, 5, 2), (2, 9, 1.0)])
def test_looks_that_lead_nowhere_are_refused(minimum: int, maximum: int, growth: float) -> None:
    with pytest.raises(ValueError, match="looks"):
        stopping.looks(minimum, maximum, growth=growth)


def test_the_looks_share_the_error() -> None:
    looks = stopping.looks(6, 60, growth=1.5)
    spent = sum(1 - stopping.level_at(each, looks, 0.95) for each in range(len(looks)))
    assert spent == pytest.approx(0.05)
    assert stopping.level_at(0, (8,), 0.95) == pytest.approx(0.95)


def test_a_look_that_was_not_planned_is_refused() -> None:
    with pytest.raises(IndexError):
        stopping.level_at(2, (6, 12), 0.95)
    with pytest.raises(ValueError, match="level"):
        stopping.level_at(0, (6, 12), 95)


def test_precision_is_reached_when_the_widest_interval_is_narrow_enough() -> None:
    widths = {"a": interval(0.995, 1.005), "b": interval(0.99, 1.015)}
    found = stopping.check_widths(widths, 0.02)
    assert not found.reached
    assert found.name == "b"
    assert found.widest == pytest.approx(0.025)
    assert stopping.check_widths(widths, 0.026).reached


def test_precision_is_not_reached_while_an_interval_is_unknown() -> None:
    found = stopping.check_widths({"a": interval(1.0, 1.0), "b": None}, 0.02)
    assert (found.reached, found.name, found.widest) == (False, "b", None)
    assert stopping.check_widths({}, 0.02).reached
    with pytest.raises(ValueError, match="target width"):
        stopping.check_widths({}, 0.0)


def test_cells_whose_pairs_are_decided_are_not_visited() -> None:
    found = ranked({"a": 1.0, "b": 1.01, "c": 3.0}, noise=0.05)
    assert undecided(found) == {"a", "b"}
    assert undecided(ranked({"a": 1.0, "b": 3.0}, noise=0.01)) == frozenset()
    assert undecided(ranked({"a": 1.0}, noise=0.01)) == frozenset()


def open_pairs(**lows: float) -> Ranking:
    """Pairs named by their two letters, each 20 % wide after 12 rounds, from so far below."""
    pairs = [
        Pair(name[0], name[1], Interval(low + 0.1, low, low + 0.2, 0.99, 12), Verdict.AMBIGUOUS)
        for name, low in lows.items()
    ]
    return Ranking({}, pairs, None, {}, 0.02, 0.95)


def test_a_short_budget_goes_to_the_pair_that_takes_least() -> None:
    """d and e are nearly decided; a and b are exactly at the edge of the margin."""
    found = open_pairs(ab=0.925, de=1.015)
    seconds = dict.fromkeys("abde", 1.0)
    assert undecided(found) == set("abde")
    assert stopping.undecided_cells(found, round_s=seconds, left_s=40.0) == {"d", "e"}
    assert stopping.undecided_cells(found, round_s=seconds, left_s=1e9) == set("abde")


def test_the_cheapest_pair_is_visited_however_little_is_left() -> None:
    seconds = dict.fromkeys("ab", 1.0)
    assert stopping.undecided_cells(open_pairs(ab=0.925), round_s=seconds, left_s=0.0) == {"a", "b"}


def test_a_pair_that_needs_more_than_is_left_is_given_up_where_that_is_asked_for() -> None:
    found = open_pairs(ab=0.925, de=1.015)
    assert undecided(found, left_rounds=10_000) == set("abde")
    assert undecided(found, left_rounds=10) == {"d", "e"}
    assert undecided(found, left_rounds=0) == frozenset()
    seconds = dict.fromkeys("abde", 1.0)
    for left_s, chosen in ((40.0, {"d", "e"}), (1.0, set())):
        assert (
            stopping.undecided_cells(found, round_s=seconds, left_s=left_s, left_rounds=20)
            == chosen
        )


def test_a_cell_without_time_leaves_its_pairs_open() -> None:
    found = open_pairs(ab=1.0, bc=1.0)
    seconds = dict.fromkeys("bc", 1.0)
    assert stopping.undecided_cells(found, round_s=seconds, left_s=1e9) == {"b", "c"}


def test_the_cost_of_a_round_counts() -> None:
    found = open_pairs(ab=1.0, de=1.0)
    for cheap, dear in (("ab", "de"), ("de", "ab")):
        seconds = dict.fromkeys(cheap, 1.0) | dict.fromkeys(dear, 100.0)
        assert stopping.undecided_cells(found, round_s=seconds, left_s=100.0) == set(cheap)


def test_a_cell_in_several_pairs_is_paid_for_once() -> None:
    found = open_pairs(ab=1.0, ac=1.0, bc=1.0)
    seconds = dict.fromkeys("abc", 1.0)
    alone = open_pairs(ab=1.0)
    least = next(left for left in range(1000) if _both(alone, left))
    assert stopping.undecided_cells(found, round_s=seconds, left_s=1.6 * least) == set("abc")


def _both(found: Ranking, left_s: float) -> bool:
    """Whether the time is enough for a second pair of the same kind."""
    twice = Ranking({}, [*found.pairs, *open_pairs(de=1.0).pairs], None, {}, 0.02, 0.95)
    return stopping.undecided_cells(
        twice, round_s=dict.fromkeys("abde", 0.5), left_s=left_s
    ) == set("abde")


def test_several_groups_share_a_budget() -> None:
    one = ranked({"a": 1.0, "b": 1.03}, noise=0.05)
    two = ranked({"c": 1.0, "d": 4.0}, noise=0.05)
    assert undecided(one, two) == {"a", "b"}
    assert undecided(two, two) == frozenset()


def test_cells_without_rounds_are_worth_visiting() -> None:
    found = ranking.rank({"a": {}, "b": {}}, margin=0.02)
    assert stopping.undecided_cells(found, round_s={"a": 1.0, "b": 1.0}, left_s=1.0) == {"a", "b"}


def test_a_noisy_cell_does_not_speak_for_the_difference_that_the_others_could_show() -> None:
    rnd = random.Random(2)
    noise = {"a": 0.01, "b": 0.01, "c": 0.01, "d": 0.10}
    rounds = {
        name: {each: 1 + rnd.uniform(-spread, spread) for each in range(12)}
        for name, spread in noise.items()
    }
    found = ranking.rank(rounds, margin=0.02)
    could = {name: stopping.detectable(found, name) for name in noise}
    assert all(each is not None and each > 0.02 for each in could.values())
    quiet = [could[name] or 0.0 for name in "abc"]
    assert max(quiet) < 0.05 < (could["d"] or 0.0)


def test_a_cell_that_is_told_apart_has_the_difference_of_all_its_pairs() -> None:
    found = ranked({"a": 1.0, "b": 1.001, "c": 3.0}, noise=0.01)
    assert {pair.verdict for pair in found.pairs if "c" in (pair.a, pair.b)} == {Verdict.FASTER}
    assert 0.02 < (stopping.detectable(found, "c") or 0.0) < 0.1
    assert stopping.detectable(ranked({"a": 1.0}, noise=0.01), "a") is None
    few = ranking.rank({name: {0: 1.0, 1: 1.1} for name in "ab"}, margin=0.02)
    assert stopping.detectable(few, "a") is None
