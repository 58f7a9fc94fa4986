"""The verdict on two cells: faster, slower, the same, or not to be told apart yet."""

from __future__ import annotations

import math
from enum import StrEnum

from mac_whisper_speedtest.stats.intervals import Interval

MARGIN = 0.02
"""Differences that nobody acts on, as a fraction: below 2 % two cells count as the same."""


class Verdict(StrEnum):
    """The words are those of nvbench's comparison, with SAME for what is shown to be equal."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    AMBIGUOUS = "AMBIGUOUS"


OPPOSITE = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
"""What the other cell of a pair hears; the other two verdicts are the same for both."""


def margin(noise_floor: float | None) -> float:
    """What two cells must differ by: the larger of 2 % and the machine's noise floor.

    Args:
        noise_floor: what identical cells may differ by on this machine, as a fraction
            (``noise.Floor.floor``); ``None`` where that was never measured.

    Raises:
        ValueError: for a floor below zero or not finite.
    """
    return MARGIN if noise_floor is None else max(MARGIN, _fraction(noise_floor))


def of(ratio: Interval | None, margin: float) -> Verdict:
    """What an interval says of a cell.

    SAME is a finding of its own, that of an equivalence test: the whole interval lies within the
    margin (two one-sided tests: Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15: 657).
    An interval that merely contains 1 is AMBIGUOUS.

    Args:
        ratio: time of the judged cell / time of the other one; ``None`` where that is not known.
        margin: the difference, as a fraction, below which two cells count as the same.

    Raises:
        ValueError: for a margin below zero or not finite.
    """
    above = 1 + _fraction(margin)
    if ratio is None:
        return Verdict.AMBIGUOUS
    if ratio.low > above:
        return Verdict.SLOWER
    if ratio.high < 1 / above:
        return Verdict.FASTER
    return Verdict.SAME if 1 / above <= ratio.low and ratio.high <= above else Verdict.AMBIGUOUS


def _fraction(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"a margin is a fraction of at least 0, not {value!r}")
    return value
