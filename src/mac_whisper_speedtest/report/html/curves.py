"""SVG: line charts, all samples of a cell by round, and Pareto's front."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mac_whisper_speedtest.report.html import charts
from mac_whisper_speedtest.report.html.charts import Scale, element

_LEFT = 12.0
_STYLES = 8
_DASHES = 4
_TOP, _BOTTOM = 30.0, 150.0  # of a strip chart, in pixels


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart; its points are in order."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class SamplePoint:
    """One sample of a strip chart.

    Attributes:
        round: counted from 0.
        kind: ``counts``, ``disturbed``, ``aside`` (does not count) or ``failed``.
    """

    round: int
    value: float
    kind: str
    tooltip: str = ""


def line_chart(
    name: str,
    found: Sequence[Curve],
    *,
    x_axis: str,
    y_axis: str,
    title: str,
    height: float = 300,
    zero: bool = True,
) -> Markup:
    """Lines that differ in color, dashes and marks, with a legend below.

    Args:
        name: unique in the page.
        found: at least one line.
        x_axis: label of the horizontal axis.
        y_axis: label of the vertical axis.
        title: what is drawn.
        height: of the drawing without its axis, in pixels.
        zero: whether both axes begin at 0.
    """
    top, bottom = 34.0, height
    x_scale = charts.fit_scale([x for each in found for x, _ in each.points], zero=zero)
    y_scale = charts.fit_scale([y for each in found for _, y in each.points], zero=zero)
    drawn = []
    for number, each in enumerate(found):
        places = [
            (charts.x_percent(x_scale, x, _LEFT), charts.y_pixels(y_scale, y, top, bottom))
            for x, y in each.points
        ]
        color, dash = f"s{number % _STYLES}", f"d{number % _DASHES}"
        for (x1, y1), (x2, y2) in itertools.pairwise(places):
            drawn.append(charts.line(x1, y1, x2, y2, f"curve {color} {dash}"))
        for (x, y), (at, value) in zip(places, each.points, strict=True):
            drawn.append(_mark(number, x, y, f"{each.label}: {value:.3g} at {at:g}"))
    described = "; ".join(
        f"{each.label} from {each.points[0][1]:.3g} to {each.points[-1][1]:.3g}"
        for each in found
        if each.points
    )
    plot = charts.svg(
        name,
        charts.left_axis(y_scale, y_axis, top=top, bottom=bottom, left=_LEFT),
        charts.bottom_axis(x_scale, x_axis, top=top, bottom=bottom, left=_LEFT, right=charts.RIGHT),
        *drawn,
        height=bottom + 40,
        title=title,
        description=f"{y_axis} over {x_axis}. {described}",
    )
    return element("figure", plot, element("figcaption", _key(found)))


def strip_chart(name: str, observed: Sequence[SamplePoint], *, y_axis: str, title: str) -> Markup:
    """Samples of one cell by round.

    Filled dots count, crosses among them were disturbed but count, hollow dots do not count, and
    crosses at the bottom failed.
    """
    scale = charts.fit_scale([each.value for each in observed if each.kind != "failed"])
    rounds = sorted({each.round for each in observed})
    drawn = _each(observed, rounds, scale)
    return _strip(name, drawn, rounds, scale, y_axis=y_axis, title=title, total=len(observed))


def box_chart(
    name: str,
    by_round: Mapping[int, Sequence[float]],
    special: Sequence[SamplePoint],
    *,
    y_axis: str,
    title: str,
) -> Markup:
    """The same for too many samples: the extremes, quartiles and median of each round.

    Args:
        name: unique in the page.
        by_round: round → the values that count.
        special: samples that are drawn one by one.
        y_axis: label of the vertical axis.
        title: what is drawn.
    """
    everything = [value for values in by_round.values() for value in values]
    scale = charts.fit_scale(
        [*everything, *(each.value for each in special if each.kind != "failed")]
    )
    rounds = sorted({*by_round, *(each.round for each in special)})
    where = {number: place for place, number in enumerate(rounds)}
    drawn: list[Markup] = []
    for number, values in sorted(by_round.items()):
        if not values:
            continue
        x = _place(where[number], 0, 1, len(rounds))
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        ends = (min(values), quartiles[0], quartiles[2], max(values))
        # Quartiles of few values are extrapolated; they are clamped to the values.
        heights = [
            charts.y_pixels(scale, min(max(each, ends[0]), ends[3]), _TOP, _BOTTOM) for each in ends
        ]
        drawn.append(charts.line(x, heights[0], x, heights[3], "whisker"))
        drawn.append(charts.line(x, heights[1], x, heights[2], "box"))
        tooltip = f"round {number + 1}: median {quartiles[1]:.3g} of {len(values)} samples"
        middle = charts.y_pixels(scale, quartiles[1], _TOP, _BOTTOM)
        drawn.append(charts.circle(x, middle, 3, "counts", tooltip))
    drawn += _each(special, rounds, scale)
    total = len(everything) + len(special)
    return _strip(name, drawn, rounds, scale, y_axis=y_axis, title=title, total=total)


def _each(observed: Sequence[SamplePoint], rounds: Sequence[int], scale: Scale) -> list[Markup]:
    by_round: defaultdict[int, list[SamplePoint]] = defaultdict(list)
    for each in observed:
        by_round[each.round].append(each)
    where = {number: place for place, number in enumerate(rounds)}
    return [
        _sample(each, _place(where[number], place, len(group), len(rounds)), scale)
        for number, group in sorted(by_round.items())
        for place, each in enumerate(group)
    ]


def _strip(
    name: str,
    drawn: Sequence[Markup],
    rounds: Sequence[int],
    scale: Scale,
    *,
    y_axis: str,
    title: str,
    total: int,
) -> Markup:
    every = max(1, -(-len(rounds) // 12))  # room for 12 numbers
    numbers = [
        charts.text(
            str(rounds[place] + 1),
            _place(place, 0, 1, len(rounds)),
            _BOTTOM + 16,
            anchor="middle",
        )
        for place in range(0, len(rounds), every)
    ]
    axis = charts.line(_LEFT, _BOTTOM, charts.RIGHT, _BOTTOM, "axis")
    return charts.svg(
        name,
        charts.left_axis(scale, y_axis, top=_TOP, bottom=_BOTTOM, left=_LEFT),
        element("g", *numbers, axis, class_="tick"),
        charts.text("round", charts.RIGHT, _BOTTOM + 32, anchor="end", class_="quiet"),
        *drawn,
        height=_BOTTOM + 36,
        title=title,
        description=f"{y_axis} of {total} samples in {len(rounds)} rounds.",
    )


def _place(number: int, place: int, of: int, rounds: int) -> float:
    """Horizontal position of a sample, in per cent; the samples of a round are side by side."""
    band = (charts.RIGHT - _LEFT) / max(rounds, 1)
    return _LEFT + band * (number + 0.15 + 0.7 * (place + 0.5) / of)


def _sample(each: SamplePoint, x: float, scale: Scale) -> Markup:
    if each.kind == "failed":
        return _cross(x, _BOTTOM - 5, 4, "failed", each.tooltip)
    y = charts.y_pixels(scale, each.value, _TOP, _BOTTOM)
    if each.kind == "disturbed":
        return _cross(x, y, 4, "disturbed", each.tooltip)
    return charts.circle(x, y, 3.2, each.kind, each.tooltip)


def _cross(x: float, y: float, size: float, class_: str, tooltip: str = "") -> Markup:
    return _shape(
        f"M-{size:g} -{size:g}L{size:g} {size:g}M-{size:g} {size:g}L{size:g} -{size:g}",
        x,
        y,
        class_,
        tooltip,
    )


def _shape(path: str, x: float, y: float, class_: str, tooltip: str = "") -> Markup:
    """A path around a point; ``x`` in per cent, ``y`` in pixels."""
    inner = (element("title", tooltip),) if tooltip else ()
    return element(
        "svg",
        element("path", *inner, d=path, class_=class_),
        x=charts.percent(x),
        y=f"{y:.1f}",
        overflow="visible",
    )


def _mark(number: int, x: float, y: float, tooltip: str = "") -> Markup:
    """The mark of a line: dot, square, triangle or diamond."""
    color = f"s{number % _STYLES}"
    shapes = ("", "M-4 -4H4V4H-4Z", "M0 -5L5 4H-5Z", "M0 -6L5 0L0 6L-5 0Z")
    path = shapes[number % len(shapes)]
    return _shape(path, x, y, color, tooltip) if path else charts.circle(x, y, 4, color, tooltip)


def _key(found: Sequence[Curve]) -> Markup:
    """The legend."""
    entries = []
    for number, each in enumerate(found):
        sample = element(
            "svg",
            charts.line(0, 7, 100, 7, f"curve s{number % _STYLES} d{number % _DASHES}"),
            _mark(number, 50, 7),
            class_="key",
            aria_hidden="true",
        )
        entries.append(element("span", sample, " ", each.label, class_="entry"))
    return Markup(" ").join(entries)


def pareto_front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Indices of the points that no other point dominates (Pareto's front).

    A point dominates another if it is at least as fast and as accurate, and better in one of the
    two. Equal points do not dominate each other.

    Args:
        points: speed (more is better) and error rate (less is better).
    """
    return {
        place
        for place, (speed, errors) in enumerate(points)
        if not any(
            other_speed >= speed
            and other_errors <= errors
            and (other_speed, other_errors) != (speed, errors)
            for other_speed, other_errors in points
        )
    }
