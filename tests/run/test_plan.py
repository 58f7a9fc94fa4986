"""Cells, schedule and time budget."""

from __future__ import annotations

from collections import Counter

import pytest

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.run import plan
from mac_whisper_speedtest.run.plan import Budget


def test_cells_are_every_backend_with_every_model_and_have_ids_of_their_own() -> None:
    cells = plan.cells(["tiny.en", "base"], [Backend(name="a"), Backend(name="b")], "short")
    assert [cell.id for cell in cells] == [
        "a/tiny.en/short",
        "b/tiny.en/short",
        "a/base/short",
        "b/base/short",
    ]


def test_every_round_visits_every_cell_once() -> None:
    order = plan.schedule(["a", "b", "c"], rounds=5, seed=7)
    assert len(order) == 5
    assert all(sorted(visit) == ["a", "b", "c"] for visit in order)


def test_the_order_follows_from_the_seed_and_differs_between_rounds() -> None:
    names = list("abcdefgh")
    assert plan.schedule(names, 4, seed=1) == plan.schedule(names, 4, seed=1)
    assert plan.schedule(names, 4, seed=1) != plan.schedule(names, 4, seed=2)
    assert len({tuple(visit) for visit in plan.schedule(names, 4, seed=1)}) == 4


def test_over_many_rounds_each_cell_comes_first_about_equally_often() -> None:
    firsts = Counter(visit[0] for visit in plan.schedule(["a", "b", "c"], 3000, seed=0))
    assert all(900 < count < 1100 for count in firsts.values())


def test_the_budget_is_shared_over_the_rounds_that_are_left() -> None:
    budget = Budget(limit_s=60, rounds=3)
    assert budget.share_s(0) == 20
    budget.spent_s = 30
    assert budget.share_s(1) == 15
    budget.spent_s = 100
    assert budget.share_s(2) == 0


def simulate(sample_s: float, *, limit_s: float, rounds: int, runs: int) -> list[int]:
    """Timed samples per round for a backend that needs ``sample_s`` for anything it does."""
    budget = Budget(limit_s, rounds)
    taken = []
    for number in range(rounds):
        if not budget.round_worthwhile():
            break
        elapsed, count = 2 * sample_s, 0  # loading and the first call
        while count < runs and budget.another_sample(number, in_round=count, elapsed_s=elapsed):
            elapsed += sample_s
            count += 1
            budget.samples += 1
        budget.spent_s += elapsed
        taken.append(count)
    return taken


@pytest.mark.parametrize(
    ("sample_s", "expected"),
    [
        (0.1, [3, 3, 3]),  # quick: everything asked for
        (9.0, [1, 1, 1]),  # slow: fewer samples, but from every round
        (40.0, [1, 1]),  # one round alone is too much: two samples all the same
        (1000.0, [1, 1]),
    ],
)
def test_a_slow_cell_gets_fewer_samples_but_never_less_than_two(
    sample_s: float, expected: list[int]
) -> None:
    assert simulate(sample_s, limit_s=60, rounds=3, runs=3) == expected


def test_a_single_round_takes_both_of_the_two_samples() -> None:
    assert simulate(1000.0, limit_s=60, rounds=1, runs=3) == [2]
