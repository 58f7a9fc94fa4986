"""Quantiles of test distributions: how far an interval must reach to cover as often as its level.

Pure functions of sample sizes and a level, without data.
"""

from __future__ import annotations

import functools
import math
import statistics

ROUNDING = 1e-12
"""1 - 0.95 is not exactly 0.05 in floating point; a probability this much above counts as equal."""

SIGNED_RANK_EXACT_UP_TO = 150
"""Rounds up to which the signed-rank distribution is enumerated, at a cost of n³. Above, the normal
approximation is right to the fourth digit (Hollander, Wolfe & Chicken, section 3.1)."""

SERIES_FROM = 60
"""Degrees of freedom from which the series in 1/ν of Student's t replaces the exact sum. Its error
there is below 2e-5 up to a probability of 0.9999."""

MANN_WHITNEY_EXACT_UP_TO = 10_000
"""Pairs of values up to which the null distribution of Mann and Whitney's U is enumerated. Above,
the normal approximation with continuity correction is right to the third digit."""


def check_level(level: float) -> None:
    """Raise ValueError unless ``level`` is strictly between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level must be between 0 and 1, not {level!r}")


@functools.cache
def sign_test(n: int, level: float) -> int:
    """How far from either end of ``n`` sorted values the interval of a median begins.

    Returns:
        The largest k for which the k-th smallest and the k-th largest value enclose the median with
        probability ``level`` at least, whatever the distribution; 0 if ``n`` is too small.
        P(fewer than k of n values below the median) is binomial with 1/2 (Conover, Practical
        Nonparametric Statistics, 3rd ed., section 3.2; David & Nagaraja, Order Statistics, 7.1).
    """
    tail = rank = 0
    while rank < n // 2:
        tail += math.comb(n, rank)
        if 2 * tail / 2**n > 1 - level + ROUNDING:
            break
        rank += 1
    return rank


@functools.cache
def signed_rank(n: int, level: float) -> int:
    """How far from either end of the n(n+1)/2 sorted Walsh averages the interval begins.

    Returns:
        The largest k for which the k-th smallest and the k-th largest Walsh average enclose the
        center of symmetry with probability ``level`` at least; 0 if ``n`` is too small. This
        inverts Wilcoxon's signed-rank test (Hollander, Wolfe & Chicken, Nonparametric Statistical
        Methods, 3rd ed., section 3.3).
    """
    half = (1 - level) / 2 + ROUNDING
    if n > SIGNED_RANK_EXACT_UP_TO:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        rank = n * (n + 1) / 4 - 0.5 + statistics.NormalDist().inv_cdf(half) * spread
        return max(math.floor(rank), 0)
    tail = 0
    for rank, count in enumerate(_rank_sums(n)):
        tail += count
        if tail / 2**n > half:
            return rank
    return 0


@functools.cache
def _rank_sums(n: int) -> list[int]:
    """How many of the 2ⁿ sign patterns give each rank sum, up to the middle of the distribution."""
    size = n * (n + 1) // 4 + 1
    counts = [1] + [0] * (size - 1)
    for rank in range(1, n + 1):
        for total in range(size - 1, rank - 1, -1):
            counts[total] += counts[total - rank]
    return counts


@functools.cache
def mann_whitney(m: int, n: int, level: float) -> int:
    """How far from either end of the m·n sorted differences the interval begins.

    Returns:
        The largest k for which the k-th smallest and the k-th largest difference enclose the shift
        with probability ``level`` at least; 0 with too few values.
    """
    half = (1 - level) / 2 + ROUNDING
    if m * n > MANN_WHITNEY_EXACT_UP_TO:
        spread = math.sqrt(m * n * (m + n + 1) / 12)
        rank = m * n / 2 + 0.5 + statistics.NormalDist().inv_cdf(half) * spread
        return max(math.floor(rank), 0)
    arrangements = math.comb(m + n, m)
    tail = 0
    for rank, count in enumerate(_counts(m, n)):
        tail += count
        if tail / arrangements > half:
            return rank
    return 0


@functools.cache
def _counts(m: int, n: int) -> list[int]:
    """How many arrangements of m and n values give each U, up to the middle of the distribution.

    The coefficients of the Gaussian binomial, the product of (1 - qⁿ⁺ⁱ) / (1 - qⁱ) for i from 1 to
    m (Mann & Whitney 1947, Annals of Mathematical Statistics 18: 50, give the recurrence).
    """
    size = m * n // 2 + 1
    counts = [1] + [0] * (size - 1)
    for step in range(1, m + 1):
        for total in range(size - 1, n + step - 1, -1):
            counts[total] -= counts[total - n - step]
        for total in range(step, size):
            counts[total] += counts[total - step]
    return counts


@functools.cache
def student_t(degrees: int, probability: float) -> float:
    """The ``probability`` quantile of Student's t with a whole number of degrees of freedom.

    The distribution function is a finite sum for whole degrees (Abramowitz & Stegun, Handbook of
    Mathematical Functions, 26.7.3 and 26.7.4), which is bisected in the angle θ = arctan(t/√ν).
    From ``SERIES_FROM`` on it is their series 26.7.5 in 1/ν.

    Raises:
        ValueError: for fewer than one degree of freedom, or a probability outside (0, 1).
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs a degree of freedom, not {degrees!r}")
    if not 0 < probability < 1:
        raise ValueError(f"a probability must be between 0 and 1, not {probability!r}")
    if probability < 0.5:
        return -student_t(degrees, 1 - probability)
    if degrees >= SERIES_FROM:
        z = statistics.NormalDist().inv_cdf(probability)
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / degrees + second / degrees**2 + third / degrees**3
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        if _within(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(middle)


def _within(angle: float, degrees: int) -> float:
    """The probability that T is within ± √ν tan ``angle``."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0
    for step in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * step / (step + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
