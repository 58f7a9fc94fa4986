"""Fits how time grows with the length of the audio: a fixed cost, and seconds per audio second.

Whisper pads its audio to windows of 30 s (Radford et al. 2022, section 2.2), so its time may grow
by steps instead. Three shapes are fitted, and the best predictor of left-out durations is chosen.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.stats.intervals import Interval

WINDOW_S = 30.0
"""Whisper's window, in seconds."""

Point = tuple[float, float]
"""Seconds of audio, and seconds that its transcription took."""

SINGULAR = 1e-5
"""Columns of length 1 are collinear if their smallest singular value is below this share of the
largest."""

SHORTEST_S = 0.01
LONGEST_S = 100_000.0
"""Range, in seconds of audio, in which the ends of a break-even are searched: a day and more."""


class Shape(StrEnum):
    """A model of how time grows."""

    LINE = "line"
    """fixed + per second · seconds"""
    STEPS = "steps"
    """fixed + per window · windows"""
    BOTH = "line and steps"
    """fixed + per second · seconds + per window · windows: an encoder and a decoder"""


STEPPED = (Shape.STEPS, Shape.BOTH)


@dataclass(frozen=True, slots=True)
class Fit:
    """The straight line through one round's points.

    Attributes:
        fixed_s: seconds that any audio costs; the fit may give a value below zero.
        per_second: seconds for each second of audio.
        window_s: shape with steps → seconds for one more window; empty if no audio crosses 30 s.
        errors: shape → root mean square of the relative error at each duration, predicted from the
            others; only shapes that these durations determine.
    """

    fixed_s: float
    per_second: float
    window_s: dict[Shape, float]
    errors: dict[Shape, float]

    def at(self, audio_s: float) -> float:
        """Seconds that the line predicts for ``audio_s`` seconds of audio."""
        return self.fixed_s + self.per_second * audio_s


@dataclass(frozen=True, slots=True)
class DurationModel:
    """The fits of all rounds.

    Attributes:
        fits: round → fit.
        fixed_s: seconds that any audio costs, with its interval over rounds; intervals are ``None``
            below three rounds.
        per_second: seconds for each second of audio.
        window_s: seconds for one more window of 30 s, by the stepped shape that predicts better.
        shape: the shape that predicts best; ``None`` with too few durations to compare shapes.
        errors: shape → median over rounds of its relative error.
    """

    fits: dict[int, Fit]
    fixed_s: Interval | None
    per_second: Interval | None
    window_s: Interval | None
    shape: Shape | None
    errors: dict[Shape, float]


@dataclass(frozen=True, slots=True)
class BreakEvenEstimate:
    """The length of audio at which two backends take the same time.

    Attributes:
        seconds: the estimate.
        low: the shortest audio at which they may be equal; 0 without a lower limit.
        high: the longest; infinite without an upper limit.
        first_wins_below: whether the first backend is the faster one for shorter audio.
    """

    seconds: float
    low: float
    high: float
    first_wins_below: bool


def window_count(audio_s: float) -> int:
    """How many windows of 30 s ``audio_s`` seconds of audio need, at least one."""
    return max(math.ceil(audio_s / WINDOW_S), 1)


def fit(points: Sequence[Point]) -> Fit:
    """Fit the points of one round by least squares of relative errors.

    Each point weighs 1 / seconds²: times vary in proportion to themselves, and without weights two
    minutes of audio would outweigh what two seconds show of the fixed cost.

    Args:
        points: seconds of audio and seconds it took, both above zero; a duration may occur twice.

    Raises:
        ValueError: for fewer than two durations, or a value that is not finite and above zero.
    """
    for point in points:
        if not all(math.isfinite(value) and value > 0 for value in point):
            raise ValueError(f"durations and times must be above zero, not {point!r}")
    line = _solve(Shape.LINE, points)
    if line is None:
        found = len({audio_s for audio_s, _ in points})
        raise ValueError(f"a line needs two durations, not {found}")
    errors = {
        shape: error for shape in Shape if (error := _prediction_error(shape, points)) is not None
    }
    steps = {shape: _solve(shape, points) for shape in STEPPED}
    window_s = {shape: found[-1] for shape, found in steps.items() if found is not None}
    return Fit(line[0], line[1], window_s, errors)


def fit_rounds(rounds: Mapping[int, Sequence[Point]]) -> DurationModel:
    """Fit each round, and give the intervals of the coefficients over rounds.

    Points of one round come from one process and are no replicates of each other; so each round is
    fitted separately, and ``intervals.of_center`` takes one value per round.

    Args:
        rounds: round → its points, at least two durations in each.

    Raises:
        ValueError: see ``fit``.
    """
    fits = {each: fit(points) for each, points in sorted(rounds.items())}
    found = fits.values()
    errors = {
        shape: statistics.median(each.errors[shape] for each in found)
        for shape in Shape
        if found and all(shape in each.errors for each in found)
    }
    stepped = min(
        (each for each in errors if each in STEPPED), key=lambda each: errors[each], default=None
    )
    window_s = [each.window_s[stepped] for each in found] if stepped is not None else []
    return DurationModel(
        fits=fits,
        fixed_s=intervals.of_center([each.fixed_s for each in found]),
        per_second=intervals.of_center([each.per_second for each in found]),
        window_s=intervals.of_center(window_s),
        shape=min(errors, key=lambda each: errors[each]) if len(errors) > 1 else None,
        errors=errors,
    )


def break_even(a: DurationModel, b: DurationModel) -> BreakEvenEstimate | None:
    """Seconds of audio at which two lines meet, with their interval, paired by round.

    The interval holds every length of audio at which the two lines may not differ (Fieller 1954, J.
    Royal Statistical Society B 16: 175, with ``intervals.of_center`` in place of Student's t). It
    may be open to one side.

    Returns:
        ``None`` if the lines do not meet, or with fewer than three common rounds.
    """
    common = sorted(a.fits.keys() & b.fits.keys())
    fixed = [a.fits[each].fixed_s - b.fits[each].fixed_s for each in common]
    per_second = [a.fits[each].per_second - b.fits[each].per_second for each in common]
    at_once, for_long = intervals.of_center(fixed), intervals.of_center(per_second)
    if at_once is None or for_long is None or at_once.estimate * for_long.estimate >= 0:
        return None
    seconds = -at_once.estimate / for_long.estimate

    def equal(audio_s: float) -> bool:
        # In units of 1 + audio_s, so that the difference stays finite for very long audio.
        shares = (1 / (1 + audio_s), audio_s / (1 + audio_s))
        found = intervals.of_center(
            [shares[0] * x + shares[1] * y for x, y in zip(fixed, per_second, strict=True)]
        )
        return found is not None and found.low <= 0 <= found.high

    return BreakEvenEstimate(
        seconds=seconds,
        low=_edge(equal, seconds, SHORTEST_S) or 0.0,
        high=_edge(equal, seconds, LONGEST_S) or math.inf,
        first_wins_below=at_once.estimate < 0,
    )


def _edge(equal: Callable[[float], bool], inside: float, bound: float) -> float | None:
    """Where ``equal`` stops holding between ``inside`` and ``bound``; ``None`` if it never does."""
    step = 1.1 if bound > inside else 1 / 1.1
    outside = inside * step
    while equal(outside):
        if (outside > bound) == (bound > inside):
            return None
        inside, outside = outside, outside * step
    for _ in range(30):
        middle = math.sqrt(inside * outside)
        inside, outside = (middle, outside) if equal(middle) else (inside, middle)
    return outside


def _columns(shape: Shape, audio_s: float) -> list[float]:
    if shape is Shape.LINE:
        return [1.0, audio_s]
    if shape is Shape.STEPS:
        return [1.0, window_count(audio_s)]
    return [1.0, audio_s, window_count(audio_s)]


def _prediction_error(shape: Shape, points: Sequence[Point]) -> float | None:
    """Root mean square of the relative error at each duration, predicted from the others."""
    durations = {audio_s for audio_s, _ in points}
    squares = []
    for left_out in durations:
        found = _solve(shape, [each for each in points if each[0] != left_out])
        if found is None:
            return None
        expected = sum(x * y for x, y in zip(found, _columns(shape, left_out), strict=True))
        measured = [seconds for audio_s, seconds in points if audio_s == left_out]
        squares.append(statistics.fmean((expected / seconds - 1) ** 2 for seconds in measured))
    return math.sqrt(statistics.fmean(squares))


def _solve(shape: Shape, points: Sequence[Point]) -> list[float] | None:
    """Weighted least squares; ``None`` if these durations do not determine the coefficients."""
    import numpy as np

    rows = np.array([_columns(shape, audio_s) for audio_s, _ in points])
    if len(rows) == 0:
        return None
    rows /= np.array([[seconds] for _, seconds in points])
    scale = np.linalg.norm(rows, axis=0)
    found, _, rank, _ = np.linalg.lstsq(rows / scale, np.ones(len(rows)), rcond=SINGULAR)
    return (found / scale).tolist() if rank == rows.shape[1] else None
