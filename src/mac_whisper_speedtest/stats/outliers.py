"""Flags outliers among timings, with the most likely cause. No timing is ever dropped."""

from __future__ import annotations

import bisect
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.stats import intervals

MIN_TIMINGS = 3
"""Of the same utterance; of two that differ, either may be the outlier."""

CUT = 3.5
"""Modified z-score beyond which a timing is an outlier (Iglewicz & Hoaglin, How to Detect and
Handle Outliers, ASQC 1993, section 3)."""

TO_SIGMA = 1.4826
"""Median absolute deviation → standard deviation, for a normal distribution: 1 / Φ⁻¹(3/4)."""

SMALL_SAMPLE = {3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
"""Factors that correct ``TO_SIGMA`` for n values; n / (n - 0.8) for more (Croux & Rousseeuw 1992,
Time-efficient algorithms for two highly robust estimators of scale, COMPSTAT, section 4)."""

FLOOR = 1.10
"""Timings within this factor of the median are never outliers."""

TOKENS_FACTOR = 1.1
"""Token counts that differ from the usual one by more than this factor explain an outlier."""

OUTSIDE_SHARE = 0.1
"""Other programs count as a cause above this share of a core and twice their usual share."""

NO_CAUSE = "no cause seen"


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed sample with its circumstances; ``None`` means unknown.

    Attributes:
        seconds: above zero.
        round: the round, and so the process, it belongs to.
        index: its number inside the process.
        utterance: name of the audio; only timings of the same audio are compared.
        tokens: number of generated tokens.
        fallbacks: how often the audio was decoded again at a higher temperature.
        text_differs: whether the text is not the usual one of this utterance.
        outside_share: processor time of programs outside the worker during the sample, in cores.
        throttled: whether the machine was measurably slower in this round (canary, pressure).
    """

    seconds: float
    round: int
    index: int
    utterance: str = ""
    tokens: int | None = None
    fallbacks: int | None = None
    text_differs: bool = False
    outside_share: float | None = None
    throttled: bool | None = None


@dataclass(frozen=True, slots=True)
class Outlier:
    """An unusual timing.

    Attributes:
        timing: as given.
        factor: its seconds / the median of its utterance; below 1 if it was fast.
        cause: the most likely cause in words, or ``NO_CAUSE``.
    """

    timing: Timing
    factor: float
    cause: str


def flag_outliers(timings: Sequence[Timing]) -> list[Outlier]:
    """Return the timings of one cell that differ from the others of the same utterance.

    On the scale of logarithms: |x - median| > 3.5 standard deviations, estimated from the median
    absolute deviation, and more than a tenth. Of three equal timings and one 1.5 times as long, the
    last is an outlier; of three that all differ, none is.

    Args:
        timings: all timed samples of a cell, in any order.

    Returns:
        The outliers in the given order.

    Raises:
        ValueError: for seconds that are not finite and above zero.
    """
    by_utterance: defaultdict[str, list[Timing]] = defaultdict(list)
    intervals.positive(each.seconds for each in timings)
    for timing in timings:
        by_utterance[timing.utterance].append(timing)
    limits = {name: _limits(peers) for name, peers in by_utterance.items()}
    usual = {name: _Usual.of(peers) for name, peers in by_utterance.items()}
    found = []
    for timing in timings:
        middle, reach = limits[timing.utterance]
        away = math.log(timing.seconds) - middle
        if abs(away) > reach:
            cause = next(_causes(timing, usual[timing.utterance], slow=away > 0), NO_CAUSE)
            found.append(Outlier(timing, math.exp(away), cause))
    return found


def _limits(timings: Sequence[Timing]) -> tuple[float, float]:
    """The median log of the seconds, and the distance from it beyond which a log is an outlier."""
    logs = [math.log(each.seconds) for each in timings]
    n = len(logs)
    middle = statistics.median(logs)
    if n < MIN_TIMINGS:
        return middle, math.inf
    deviation = statistics.median(abs(each - middle) for each in logs)
    sigma = SMALL_SAMPLE.get(n, n / (n - 0.8)) * TO_SIGMA * deviation
    return middle, max(CUT * sigma, math.log(FLOOR))


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is known of all timings of an utterance, in order."""

    fallbacks: Sequence[float]
    tokens: Sequence[float]
    outside_share: Sequence[float]

    @classmethod
    def of(cls, timings: Sequence[Timing]) -> _Usual:
        return cls(
            fallbacks=_ordered(each.fallbacks for each in timings),
            tokens=_ordered(each.tokens for each in timings),
            outside_share=_ordered(each.outside_share for each in timings),
        )


def _causes(timing: Timing, usual: _Usual, *, slow: bool) -> Iterator[str]:
    """Possible causes, the strongest evidence first: other work, then a disturbed machine."""
    fallbacks = _median_without(usual.fallbacks, timing.fallbacks) or 0
    if slow and timing.fallbacks is not None and timing.fallbacks > fallbacks:
        count = timing.fallbacks
        words = "1 fallback" if count == 1 else f"{count} fallbacks"
        yield f"decoded again at a higher temperature ({words})"
    tokens = _median_without(usual.tokens, timing.tokens)
    if timing.tokens is not None and tokens is not None:
        more = timing.tokens > TOKENS_FACTOR * tokens
        fewer = timing.tokens * TOKENS_FACTOR < tokens
        if more if slow else fewer:
            yield f"{timing.tokens} tokens instead of {tokens:g}"
    if timing.text_differs:
        yield "its text differs"
    if not slow:
        return
    share = timing.outside_share
    others = _median_without(usual.outside_share, share) or 0.0
    if share is not None and share > max(OUTSIDE_SHARE, 2 * others):
        yield f"other programs took the processor ({share:.0%} of a core)"
    if timing.throttled:
        yield "the machine was slower in this round"


def _ordered(values: Iterable[float | None]) -> list[float]:
    return sorted(value for value in values if value is not None)


def _median_without(ordered: Sequence[float], one: float | None) -> float | None:
    """The median of the others, found by position: a cell may have many samples and outliers."""
    left_out = len(ordered) if one is None else bisect.bisect_left(ordered, one)
    count = len(ordered) - (one is not None)
    if count == 0:
        return None
    middle = [ordered[at + (at >= left_out)] for at in {(count - 1) // 2, count // 2}]
    return sum(middle) / len(middle)
