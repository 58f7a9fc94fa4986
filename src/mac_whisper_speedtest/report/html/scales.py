"""Where a value lies on an axis, and which round numbers the axis is marked with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LOG_RATIO = 30.0
"""Beyond this ratio of the largest to the smallest value, a linear axis shows only the largest."""
ZERO_RATIO = 2.0
"""Below this ratio an axis that began at zero would waste more than half of itself."""
_TICKS = 5
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Attributes:
        low: the value at its beginning.
        high: the value at its end; above ``low``.
        ticks: the values that are written at it, rising.
        log: whether equal steps are equal ratios.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the beginning, 1 at the end; what lies beyond is put at the end it is beyond."""
        if self.log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def label(self, value: float) -> str:
        """A tick's text, with as many digits as its neighbours need."""
        if self.log or len(self.ticks) < 2:
            return f"{value:g}"
        step = self.ticks[1] - self.ticks[0]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        # 2.5 and 0.25 need a digit more than their power of ten says.
        needed = digits if math.isclose(step, round(step, digits)) else digits + 1
        return f"{value:.{needed}f}"


def fit(values: Iterable[float], *, zero: bool | None = None, logarithm: bool = False) -> Scale:
    """An axis that has room for all values.

    Args:
        values: finite; none at all gives the axis from 0 to 1.
        zero: whether it begins at 0; ``None`` is by ``ZERO_RATIO``.
        logarithm: whether it may be logarithmic, by ``LOG_RATIO``.
    """
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return Scale(0.0, 1.0, (0.0, 0.5, 1.0))
    low, high = min(found), max(found)
    if logarithm and low > 0 and high / low > LOG_RATIO:
        return _logarithmic(low, high)
    if zero or (zero is None and low >= 0 and high >= ZERO_RATIO * low):
        low = min(low, 0.0)
    if high == low:
        spread = abs(high) * 0.1 or 1.0
        low, high = (low if zero else low - spread), high + spread
    step = _step((high - low) / _TICKS)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(number * step for number in range(start, end + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def _logarithmic(low: float, high: float) -> Scale:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    candidates = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    below = max(value for value in candidates if value <= low * (1 + 1e-9))
    above = min(value for value in candidates if value >= high * (1 - 1e-9))
    ticks = tuple(value for value in candidates if below <= value <= above)
    if len(ticks) > 2 * _TICKS:
        ticks = tuple(value for value in ticks if math.isclose(math.log10(value) % 1, 0))
    return Scale(below, above, ticks, log=True)


def _step(raw: float) -> float:
    """The round number that is not below ``raw``."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in _STEPS if factor * power >= raw * (1 - 1e-9))
