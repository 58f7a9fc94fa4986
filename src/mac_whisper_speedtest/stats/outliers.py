"""Timings that stand out, and what most likely made them. Nothing is ever dropped."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MIN_TIMINGS = 3
"""Of the same utterance: two that differ do not say which of them is odd."""

CUT = 3.5
"""Modified z-score beyond which a timing stands out (Iglewicz & Hoaglin, How to Detect and Handle
Outliers, ASQC 1993, section 3)."""

TO_SIGMA = 1.4826
"""Median absolute deviation → standard deviation, for a normal distribution: 1 / Φ⁻¹(3/4)."""

SMALL_SAMPLE = {3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
"""What ``TO_SIGMA`` is short by in few values; n / (n - 0.8) in more (Croux & Rousseeuw 1992, Time-
efficient algorithms for two highly robust estimators of scale, COMPSTAT, section 4)."""

FLOOR = 1.10
"""What differs by less than a tenth is no outlier, however alike the others are."""

MORE = 1.1
"""Tokens are more, or fewer, when they are by a tenth of the usual number."""

OUTSIDE_SHARE = 0.1
"""Other programs count as a cause from a tenth of a core on, and twice their usual share."""

NO_CAUSE = "no cause seen"


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed sample, and what was seen while it was taken; ``None`` is "not known".

    Attributes:
        seconds: how long it took; above zero.
        round: the round, and so the process, it belongs to.
        index: its number inside the process.
        utterance: which audio; timings are compared inside the same one only.
        tokens: how many tokens were generated.
        fallbacks: how often the audio was decoded again at a higher temperature.
        text_differs: whether the text is another than this utterance's usual one.
        outside_share: processor time that programs outside the worker took meanwhile, in cores.
        throttled: whether the machine was seen to be slower in this round (canary, pressure).
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
    """A timing that stands out.

    Attributes:
        timing: the one.
        factor: its seconds over the median of its utterance; below 1 where it was quick.
        cause: the likeliest cause in words, or ``NO_CAUSE``.
    """

    timing: Timing
    factor: float
    cause: str


def flag(timings: Sequence[Timing]) -> list[Outlier]:
    """The timings of one cell that stand out from the others of the same utterance.

    On the scale of logarithms: |x - median| > 3.5 standard deviations, as the median absolute
    deviation tells them, and more than a tenth. Of three alike and one of 1.5 times their time, the
    last is found; of three that all differ, none.

    Args:
        timings: all timed samples of a cell, in any order.

    Returns:
        The outliers in the order given.

    Raises:
        ValueError: for seconds that are not finite and above zero.
    """
    by_utterance: defaultdict[str, list[Timing]] = defaultdict(list)
    for timing in timings:
        if not (math.isfinite(timing.seconds) and timing.seconds > 0):
            raise ValueError(f"a time is above zero, not {timing.seconds!r}")
        by_utterance[timing.utterance].append(timing)
    limits = {name: _limits(peers) for name, peers in by_utterance.items()}
    found = []
    for timing in timings:
        middle, reach = limits[timing.utterance]
        away = math.log(timing.seconds) - middle
        if abs(away) > reach:
            peers = [each for each in by_utterance[timing.utterance] if each is not timing]
            cause = next(_causes(timing, peers, slow=away > 0), NO_CAUSE)
            found.append(Outlier(timing, math.exp(away), cause))
    return found


def _limits(timings: Sequence[Timing]) -> tuple[float, float]:
    """The median log of the seconds, and how far from it a log must lie to stand out."""
    logs = [math.log(each.seconds) for each in timings]
    n = len(logs)
    middle = statistics.median(logs)
    if n < MIN_TIMINGS:
        return middle, math.inf
    deviation = statistics.median(abs(each - middle) for each in logs)
    sigma = SMALL_SAMPLE.get(n, n / (n - 0.8)) * TO_SIGMA * deviation
    return middle, max(CUT * sigma, math.log(FLOOR))


def _causes(timing: Timing, peers: Sequence[Timing], *, slow: bool) -> Iterator[str]:
    """What explains it, the strongest evidence first: other work, then a disturbed machine."""
    fallbacks = _median(each.fallbacks for each in peers) or 0
    if slow and timing.fallbacks is not None and timing.fallbacks > fallbacks:
        count = timing.fallbacks
        words = "1 fallback" if count == 1 else f"{count} fallbacks"
        yield f"decoded again at a higher temperature ({words})"
    tokens = _median(each.tokens for each in peers)
    if timing.tokens is not None and tokens is not None:
        more = timing.tokens > MORE * tokens
        fewer = timing.tokens * MORE < tokens
        if more if slow else fewer:
            yield f"{timing.tokens} tokens instead of {tokens:g}"
    if timing.text_differs:
        yield "gave another text"
    if not slow:
        return
    share = timing.outside_share
    usual = _median(each.outside_share for each in peers) or 0.0
    if share is not None and share > max(OUTSIDE_SHARE, 2 * usual):
        yield f"other programs took the processor ({share:.0%} of a core)"
    if timing.throttled:
        yield "the machine was slower in this round"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
