from __future__ import annotations

import math

import pytest

from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.stats.intervals import Interval


def rounds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_a_median_has_no_interval_in_fewer_than_six_rounds() -> None:
    assert intervals.of_median([1.0, 1.1, 0.9, 1.2, 1.3]) is None
    assert intervals.of_median([]) is None
    assert intervals.of_median([1.0, 1.1, 0.9, 1.2, 1.3], 0.9) is not None


def test_the_interval_of_a_median_is_made_of_the_values_themselves() -> None:
    found = intervals.of_median([1.3, 0.9, 1.1, 1.2, 1.0, 1.4])
    assert found is not None
    assert found.estimate == pytest.approx(1.15)
    assert (found.low, found.high, found.level, found.n) == (0.9, 1.4, 0.95, 6)
    nine = intervals.of_median([9, 8, 7, 6, 5, 4, 3, 2, 1])
    assert nine == Interval(5, 2, 8, 0.95, 9)


def test_a_median_does_not_care_about_the_size_of_an_outlier() -> None:
    assert intervals.of_median([*range(1, 20), 20]) == intervals.of_median([*range(1, 20), 1e9])


def test_equal_values_give_a_point() -> None:
    found = intervals.of_median([2.0] * 6)
    assert found == Interval(2.0, 2.0, 2.0, 0.95, 6)
    assert found is not None
    assert found.relative_width == 0
    for n in (3, 8):
        ratio = intervals.of_ratio(rounds(*[3.0] * n), rounds(*[2.0] * n))
        assert ratio is not None
        assert (ratio.low, ratio.high) == pytest.approx((1.5, 1.5))


def test_a_ratio_is_paired_by_round() -> None:
    """A round that is slow for both changes nothing."""
    b = rounds(1.0, 3.0, 0.5, 2.0, 10.0, 1.5, 0.7, 4.0)
    a = {each: 1.25 * value for each, value in b.items()}
    found = intervals.of_ratio(a, b)
    assert found is not None
    assert (found.low, found.estimate, found.high) == pytest.approx((1.25, 1.25, 1.25))


def test_only_rounds_that_both_have_are_compared() -> None:
    a = {0: 1.0, 1: 2.0, 2: 3.0, 7: 100.0}
    b = {0: 1.0, 1: 2.0, 2: 3.0, 8: 0.01}
    found = intervals.of_ratio(a, b)
    assert found == Interval(1.0, 1.0, 1.0, 0.95, 3)
    assert intervals.of_ratio(a, {0: 1.0, 1: 1.0, 9: 1.0}) is None


def test_with_few_rounds_a_ratio_has_students_interval() -> None:
    logs = (0.01, 0.02, 0.03)
    found = intervals.of_ratio(rounds(*map(math.exp, logs)), rounds(1, 1, 1))
    assert found is not None
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert math.log(found.low) == pytest.approx(0.02 - half, rel=1e-5)
    assert math.log(found.high) == pytest.approx(0.02 + half, rel=1e-5)


def test_with_enough_rounds_a_ratio_has_the_signed_rank_interval() -> None:
    """The example of Hollander & Wolfe's section 3: the worked-out Walsh averages by hand."""
    logs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    found = intervals.of_center(logs)
    assert found is not None
    assert (found.estimate, found.low, found.high) == pytest.approx((0.35, 0.1, 0.6))
    seven = intervals.of_center([*logs, 0.7])
    assert seven is not None
    # Walsh averages from below: 0.1, 0.15, 0.2, ...; the third is the end at 95 %.
    assert (seven.low, seven.high) == pytest.approx((0.2, 0.6))


def test_one_outlier_barely_moves_the_signed_rank_interval() -> None:
    logs = [0.01 * each for each in range(-6, 7)]
    clean, dirty = intervals.of_center(logs), intervals.of_center([*logs[:-1], 5.0])
    assert clean is not None
    assert dirty is not None
    assert dirty.estimate == pytest.approx(clean.estimate, abs=0.01)
    assert dirty.high < clean.high + 0.03


def test_the_method_depends_on_rounds_and_level_only() -> None:
    """Nine rounds cannot reach 99.67 % by ranks, so there the outlier counts."""
    logs = [0.0, 0.01, -0.01, 0.02, -0.02, 0.005, 0.0, 0.01, 3.0]
    ranks, student = intervals.of_center(logs, 0.95), intervals.of_center(logs, 0.9967)
    assert ranks is not None
    assert student is not None
    assert ranks.low > -0.1
    assert student.low < -1


def test_the_minimum_spread_counts_for_students_interval_only() -> None:
    few = intervals.of_center([0.0, 0.0, 0.0], min_spread=0.1)
    many = intervals.of_center([0.0] * 8, min_spread=0.1)
    assert few is not None
    assert few.high == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert many is not None
    assert many.high == 0


def test_the_inverse_of_an_interval_turns_its_ends() -> None:
    assert Interval(0.5, 0.25, 1.0, 0.95, 8).inverse() == Interval(2.0, 1.0, 4.0, 0.95, 8)


def test_the_relative_width_is_the_full_one() -> None:
    assert Interval(2.0, 1.9, 2.2, 0.95, 8).relative_width == pytest.approx(0.15)
    assert Interval(0.0, -1.0, 1.0, 0.95, 8).relative_width == math.inf


def test_the_spread_is_the_standard_deviation_where_students_interval_was_used() -> None:
    found = intervals.of_ratio(rounds(*map(math.exp, (0.01, 0.02, 0.03, 0.04))), rounds(1, 1, 1, 1))
    assert found is not None
    assert intervals.spread(found) == pytest.approx(0.012910, rel=1e-4)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_time_is_refused(bad: float) -> None:
    good = rounds(1, 1, 1)
    with pytest.raises(ValueError, match=f"{bad!r}"):
        intervals.of_median([1.0, bad])
    with pytest.raises(ValueError, match=f"{bad!r}"):
        intervals.of_ratio({0: bad}, good)
    with pytest.raises(ValueError, match=f"{bad!r}"):
        intervals.of_ratio(good, {5: bad})


def test_a_level_outside_its_bounds_is_refused() -> None:
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(ValueError, match="confidence level"):
            intervals.of_median([1.0] * 8, level)
        with pytest.raises(ValueError, match="confidence level"):
            intervals.of_ratio(rounds(1, 1, 1), rounds(1, 1, 1), level)
