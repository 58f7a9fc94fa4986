from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mac_whisper_speedtest.stats import outliers
from mac_whisper_speedtest.stats.outliers import Outlier, Timing


def timings(seconds: Sequence[float], **odd: Any) -> list[Timing]:
    """Timings of one process; ``odd`` describes the third."""
    plain = [Timing(each, 0, index, tokens=12, fallbacks=0) for index, each in enumerate(seconds)]
    plain[2] = replace(plain[2], **odd)
    return plain


SIX = (1.00, 1.02, 3.05, 0.99, 1.01, 1.03)


def only(found: list[Outlier]) -> Outlier:
    assert len(found) == 1
    return found[0]


def test_a_third_sample_that_takes_three_times_as_long_is_found() -> None:
    found = only(outliers.flag_outliers(timings(SIX)))
    assert found.timing.index == 2
    assert found.factor == pytest.approx(3.0, abs=0.05)
    assert found.cause == "no cause seen"


@pytest.mark.parametrize(
    ("odd", "cause"),
    [
        ({"fallbacks": 2}, "decoded again at a higher temperature (2 fallbacks)"),
        ({"fallbacks": 1, "tokens": 31}, "decoded again at a higher temperature (1 fallback)"),
        ({"tokens": 31, "text_differs": True}, "31 tokens instead of 12"),
        ({"text_differs": True, "throttled": True}, "its text differs"),
        ({"outside_share": 0.85, "throttled": True},
         "other programs took the processor (85% of a core)"),
        ({"throttled": True, "outside_share": 0.02}, "the machine was slower in this round"),
    ],
)  # fmt: skip
def test_the_likeliest_cause_is_named(odd: dict[str, Any], cause: str) -> None:
    assert only(outliers.flag_outliers(timings(SIX, **odd))).cause == cause


def test_what_is_so_in_every_sample_explains_none() -> None:
    busy = [replace(each, outside_share=0.5, fallbacks=1, tokens=40) for each in timings(SIX)]
    assert only(outliers.flag_outliers(busy)).cause == "no cause seen"


def test_a_quick_sample_stands_out_too() -> None:
    quick = (1.00, 1.02, 0.3, 0.99, 1.01, 1.03)
    assert only(outliers.flag_outliers(timings(quick, tokens=2))).cause == "2 tokens instead of 12"
    busy = only(
        outliers.flag_outliers(timings(quick, outside_share=0.9, throttled=True, fallbacks=1))
    )
    assert busy.cause == "no cause seen"
    assert busy.factor < 0.35


def test_alike_samples_are_not_called_odd_for_a_few_per_cent() -> None:
    assert outliers.flag_outliers(timings((1.0, 1.0, 1.08, 1.0, 1.0, 1.0))) == []
    assert outliers.flag_outliers(timings((1.0, 1.0, 1.2, 1.0, 1.0, 1.0))) != []


def test_samples_that_all_differ_have_no_outlier() -> None:
    assert outliers.flag_outliers(timings((1.0, 1.3, 1.9, 0.8, 1.1, 1.6))) == []


def test_utterances_are_compared_with_themselves_only() -> None:
    long = [Timing(9.0 + 0.01 * each, each, 0, utterance="long") for each in range(4)]
    short = [Timing(1.0 + 0.01 * each, each, 0, utterance="short") for each in range(3)]
    slow = Timing(2.0, 3, 0, utterance="short")
    assert [each.timing for each in outliers.flag_outliers([*long, *short, slow])] == [slow]


def test_two_timings_do_not_say_which_is_odd() -> None:
    assert outliers.flag_outliers([Timing(1.0, 0, 0), Timing(9.0, 0, 1)]) == []
    assert outliers.flag_outliers([]) == []


def test_no_timing_is_lost_or_changed() -> None:
    given = timings(SIX)
    before = list(given)
    outliers.flag_outliers(given)
    assert given == before


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_time_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        outliers.flag_outliers([Timing(bad, 0, 0)])


def test_the_usual_is_that_of_the_others_however_many_share_a_value() -> None:
    """Found by position among all that are in order; the outlier itself is left out."""
    many = [Timing(1.0 + each / 1000, 0, each, tokens=10 + each % 2) for each in range(9)]
    odd = Timing(3.0, 0, 9, tokens=11, outside_share=0.5)
    assert only(outliers.flag_outliers([*many, odd])).cause == (
        "other programs took the processor (50% of a core)"
    )
    odd = replace(odd, tokens=20)
    assert only(outliers.flag_outliers([*many, odd])).cause == "20 tokens instead of 10"
    even = [*many, Timing(1.0, 0, 10, tokens=11)]
    assert only(outliers.flag_outliers([*even, odd])).cause == "20 tokens instead of 10.5"
