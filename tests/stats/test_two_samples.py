"""Ratios of two samples without pairs, against brute force and published tables."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from mac_whisper_speedtest.stats import intervals, quantiles


def smaller_pairs(a: tuple[float, ...], b: tuple[float, ...]) -> int:
    return sum(x > y for x in a for y in b)


def counted_out(m: int, n: int) -> list[int]:
    """How many arrangements of m and n different values give each U, one by one."""
    counts = [0] * (m * n + 1)
    for chosen in itertools.combinations(range(m + n), m):
        rest = tuple(each for each in range(m + n) if each not in chosen)
        counts[smaller_pairs(chosen, rest)] += 1
    return counts


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 4), (2, 3), (3, 3), (4, 3), (4, 5), (6, 6)])
def test_the_null_distribution_is_that_of_all_arrangements(m: int, n: int) -> None:
    counts = quantiles._counts(m, n)
    assert counts == counted_out(m, n)[: m * n // 2 + 1]


@pytest.mark.parametrize(
    ("m", "n", "critical_u"),
    [(4, 4, 0), (5, 5, 2), (5, 8, 6), (8, 8, 13), (10, 10, 23), (12, 7, 18), (20, 20, 127)],
)
def test_ranks_are_those_of_the_published_tables(m: int, n: int, critical_u: int) -> None:
    """The largest U that is significant at 5 %, two-sided, is one below the rank."""
    assert quantiles.mann_whitney(m, n, 0.95) == critical_u + 1


def test_three_against_three_cannot_reach_95_percent() -> None:
    assert quantiles.mann_whitney(3, 3, 0.95) == 0
    assert quantiles.mann_whitney(3, 3, 0.90) == 1


def test_the_normal_approximation_continues_the_exact_ranks() -> None:
    exact = quantiles.mann_whitney(100, 100, 0.95)
    spread = math.sqrt(100 * 100 * 201 / 12)
    assert exact == pytest.approx(5000 - 1.96 * spread, abs=2)
    above = quantiles.mann_whitney(101, 101, 0.95)
    assert 0 < above - exact < 120


def rejected(a: list[float], b: list[float], level: float) -> bool:
    """The exact test of Mann and Whitney, by all arrangements of the pooled values."""
    pooled = a + b
    center = len(a) * len(b) / 2
    observed = abs(smaller_pairs(tuple(a), tuple(b)) - center)
    extreme = total = 0
    for chosen in itertools.combinations(range(len(pooled)), len(a)):
        first = tuple(pooled[each] for each in chosen)
        rest = tuple(pooled[each] for each in range(len(pooled)) if each not in chosen)
        extreme += abs(smaller_pairs(first, rest) - center) >= observed
        total += 1
    return extreme / total <= 1 - level + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_holds_exactly_the_ratios_that_the_test_does_not_reject(seed: int) -> None:
    rnd = random.Random(seed)
    a = [math.exp(rnd.gauss(0.1, 0.05)) for _ in range(5)]
    b = [math.exp(rnd.gauss(0, 0.05)) for _ in range(4)]
    found = intervals.of_unpaired_ratio(a, b, 0.95)
    assert found is not None
    for ratio, outside in (
        (found.low * 0.999, True),
        (found.low * 1.001, False),
        (found.estimate, False),
        (found.high * 0.999, False),
        (found.high * 1.001, True),
    ):
        assert rejected(a, [each * ratio for each in b], 0.95) is outside


def test_the_estimate_is_the_median_of_all_ratios() -> None:
    found = intervals.of_unpaired_ratio([2.0, 4.0, 8.0, 9.0], [1.0, 2.0, 4.0, 5.0])
    assert found is not None
    ratios = [a / b for a in (2, 4, 8, 9) for b in (1, 2, 4, 5)]
    logs = statistics.median(map(math.log, ratios))
    assert found.estimate == pytest.approx(math.exp(logs))
    assert (found.level, found.n) == (0.95, 4)


def test_base_and_new_exchanged_give_the_inverse() -> None:
    a, b = [1.0, 1.1, 1.2, 1.3, 1.5], [0.9, 1.0, 1.05, 1.02]
    forward, backward = intervals.of_unpaired_ratio(a, b), intervals.of_unpaired_ratio(b, a)
    assert forward is not None
    assert backward is not None
    assert forward.low == pytest.approx(1 / backward.high)
    assert forward.estimate == pytest.approx(1 / backward.estimate)


def test_one_outlier_moves_the_estimate_little() -> None:
    rnd = random.Random(1)
    a = [math.exp(rnd.gauss(0, 0.01)) for _ in range(10)]
    b = [math.exp(rnd.gauss(0, 0.01)) for _ in range(10)]
    quiet, disturbed = (
        intervals.of_unpaired_ratio(a, b),
        intervals.of_unpaired_ratio([*a[:-1], 5.0], b),
    )
    assert quiet is not None
    assert disturbed is not None
    assert disturbed.estimate == pytest.approx(quiet.estimate, rel=0.01)


def test_three_against_three_is_welchs_t() -> None:
    a, b = [1.0, 1.1, 1.3], [1.0, 1.01, 0.99]
    first, second = [math.log(each) for each in a], [math.log(each) for each in b]
    parts = [statistics.variance(each) / 3 for each in (first, second)]
    degrees = sum(parts) ** 2 / sum(each**2 / 2 for each in parts)
    reach = quantiles.student_t(math.floor(degrees), 0.975) * math.sqrt(sum(parts))
    found = intervals.of_unpaired_ratio(a, b)
    assert found is not None
    assert found.high / found.estimate == pytest.approx(math.exp(reach))


def test_three_rounds_that_agree_by_chance_take_the_usual_spread() -> None:
    found = intervals.of_unpaired_ratio([1.2, 1.2, 1.2], [1.0, 1.0, 1.0], min_spread=0.05)
    assert found is not None
    assert found.low < 1.15
    bare = intervals.of_unpaired_ratio([1.2, 1.2, 1.2], [1.0, 1.0, 1.0])
    assert bare is not None
    assert bare.low == bare.high


def test_two_rounds_on_a_side_give_no_interval() -> None:
    assert intervals.of_unpaired_ratio([1.0, 1.0], [1.0] * 20) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_cannot_be_a_time_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        intervals.of_unpaired_ratio([1.0, 1.0, bad], [1.0] * 3)


@pytest.mark.parametrize(("m", "n"), [(5, 5), (8, 12)])
def test_the_interval_covers_as_often_as_it_says(m: int, n: int) -> None:
    rnd = random.Random(7)
    covered = 0
    for _ in range(600):
        a = [1.3 * rnd.lognormvariate(0, 0.1) for _ in range(m)]
        b = [rnd.lognormvariate(0, 0.1) for _ in range(n)]
        found = intervals.of_unpaired_ratio(a, b)
        assert found is not None
        covered += found.low <= 1.3 <= found.high
    assert 0.93 <= covered / 600 <= 0.985


def test_the_range_of_ratios_says_how_sure_it_is() -> None:
    one = intervals.range_of_ratio([2.0], [1.0])
    assert (one.estimate, one.low, one.high, one.level) == pytest.approx((2, 2, 2, 0))
    three = intervals.range_of_ratio([2.0, 2.2, 2.4], [1.0, 1.1, 1.2])
    assert three.level == pytest.approx(0.9)
    assert (three.low, three.high) == pytest.approx((2 / 1.2, 2.4))
