from __future__ import annotations

import itertools
import math

import pytest

from mac_whisper_speedtest.stats import quantiles


@pytest.mark.parametrize(
    ("degrees", "probability", "table"),
    [
        (1, 0.975, 12.7062),
        (2, 0.975, 4.3027),
        (3, 0.975, 3.1824),
        (5, 0.975, 2.5706),
        (10, 0.975, 2.2281),
        (30, 0.975, 2.0423),
        (120, 0.975, 1.9799),
        (1000, 0.975, 1.9623),
        (2, 0.9995, 31.5991),
        (9, 0.9995, 4.7809),
        (1, 0.75, 1.0),
    ],
)
def test_students_t_is_that_of_printed_tables(
    degrees: int, probability: float, table: float
) -> None:
    assert quantiles.student_t(degrees, probability) == pytest.approx(table, abs=1e-4)
    assert quantiles.student_t(degrees, 1 - probability) == pytest.approx(-table, abs=1e-4)


def test_students_t_does_not_jump_where_the_series_takes_over() -> None:
    values = [quantiles.student_t(quantiles.SERIES_FROM + step, 0.9999) for step in range(-3, 3)]
    steps = [before - after for before, after in itertools.pairwise(values)]
    assert min(steps) > 0
    assert max(steps) < 1.25 * min(steps)


def test_the_median_of_students_t_is_zero() -> None:
    assert quantiles.student_t(4, 0.5) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "rank"), [(5, 0), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (60, 22)]
)
def test_the_sign_tests_ranks_are_those_of_printed_tables(n: int, rank: int) -> None:
    assert quantiles.sign_test(n, 0.95) == rank


@pytest.mark.parametrize(
    ("n", "largest_rejected"), [(6, 0), (7, 2), (8, 3), (10, 8), (15, 25), (20, 52), (30, 137)]
)
def test_the_signed_rank_tests_ranks_are_those_of_printed_tables(
    n: int, largest_rejected: int
) -> None:
    assert quantiles.signed_rank(n, 0.95) == largest_rejected + 1


def test_the_signed_rank_interval_covers_what_it_says_by_enumeration() -> None:
    n, level = 9, 0.9
    rank = quantiles.signed_rank(n, level)
    sums = [
        sum(place for place, sign in enumerate(signs, 1) if sign)
        for signs in itertools.product((False, True), repeat=n)
    ]
    outside = sum(1 for each in sums if each < rank) / len(sums)
    wider = sum(1 for each in sums if each < rank + 1) / len(sums)
    assert 2 * outside <= 1 - level < 2 * wider


def test_the_normal_approximation_takes_over_without_a_jump() -> None:
    ranks = [
        quantiles.signed_rank(quantiles.SIGNED_RANK_EXACT_UP_TO + step, 0.95)
        for step in (-1, 0, 1, 2)
    ]
    steps = [after - before for before, after in itertools.pairwise(ranks)]
    assert max(steps) - min(steps) <= 3


def test_a_level_that_so_many_rounds_cannot_reach_gives_no_rank() -> None:
    assert quantiles.signed_rank(5, 0.95) == 0
    assert quantiles.signed_rank(9, 0.9967) == 0
    assert quantiles.signed_rank(10, 0.9967) == 1


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, math.nan])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantiles.check_level(level)


def test_student_needs_a_degree_of_freedom_and_a_probability() -> None:
    with pytest.raises(ValueError, match="degree of freedom"):
        quantiles.student_t(0, 0.975)
    with pytest.raises(ValueError, match="probability"):
        quantiles.student_t(3, 1.0)
