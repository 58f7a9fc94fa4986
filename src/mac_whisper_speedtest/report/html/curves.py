"""Lines over a running quantity, and every sample of a cell, round by round."""

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
_TOP, _BOTTOM = 30.0, 150.0  # of a strip, in pixels


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its name and its points, in order."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Observed:
    """One sample of a strip.

    Attributes:
        round: the round in which it was taken, from 0.
        value: what is drawn upwards.
        kind: ``counts``, ``disturbed``, ``aside`` (does not count) or ``failed``.
        tooltip: shown where it is pointed at, if there is one.
    """

    round: int
    value: float
    kind: str
    tooltip: str = ""


def curves(
    name: str,
    found: Sequence[Curve],
    *,
    x_axis: str,
    y_axis: str,
    title: str,
    height: float = 300,
    zero: bool = True,
) -> Markup:
    """Lines that differ by color, dashes and marks alike, with a key under them.

    Args:
        name: unique in the page.
        found: one line at least.
        x_axis: what lies along the page.
        y_axis: what is drawn upwards.
        title: what is drawn.
        height: of the drawing without its axis, in pixels.
        zero: whether both axes begin at 0.
    """
    top, bottom = 34.0, height
    x_scale = charts.fit([x for each in found for x, _ in each.points], zero=zero)
    y_scale = charts.fit([y for each in found for _, y in each.points], zero=zero)
    drawn = []
    for number, each in enumerate(found):
        places = [
            (charts.along(x_scale, x, _LEFT), charts.up(y_scale, y, top, bottom))
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
    plot = charts.drawing(
        name,
        charts.left_axis(y_scale, y_axis, top=top, bottom=bottom, left=_LEFT),
        charts.bottom_axis(x_scale, x_axis, top=top, bottom=bottom, left=_LEFT, right=charts.RIGHT),
        *drawn,
        height=bottom + 40,
        title=title,
        description=f"{y_axis} over {x_axis}. {described}",
    )
    return element("figure", plot, element("figcaption", _key(found)))


def strip(name: str, observed: Sequence[Observed], *, y_axis: str, title: str) -> Markup:
    """Samples of one cell: rounds from left to right, values upwards.

    Dots count, crosses among them are disturbed and count, hollow dots do not count, and crosses
    at the bottom failed.
    """
    scale = charts.fit([each.value for each in observed if each.kind != "failed"])
    rounds = sorted({each.round for each in observed})
    drawn = _each(observed, rounds, scale)
    return _strip(name, drawn, rounds, scale, y_axis=y_axis, title=title, said=len(observed))


def boxes(
    name: str,
    by_round: Mapping[int, Sequence[float]],
    special: Sequence[Observed],
    *,
    y_axis: str,
    title: str,
) -> Markup:
    """The same where samples are too many: each round's extremes, quartiles and median.

    Args:
        name: unique in the page.
        by_round: round → the values that count.
        special: samples that are drawn as themselves.
        y_axis: what is drawn upwards.
        title: what is drawn.
    """
    everything = [value for values in by_round.values() for value in values]
    scale = charts.fit([*everything, *(each.value for each in special if each.kind != "failed")])
    rounds = sorted({*by_round, *(each.round for each in special)})
    where = {number: place for place, number in enumerate(rounds)}
    drawn: list[Markup] = []
    for number, values in sorted(by_round.items()):
        if not values:
            continue
        x = _place(where[number], 0, 1, len(rounds))
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        ends = (min(values), quartiles[0], quartiles[2], max(values))
        # Quartiles of few values are extrapolated; nothing is drawn where no value is.
        heights = [
            charts.up(scale, min(max(each, ends[0]), ends[3]), _TOP, _BOTTOM) for each in ends
        ]
        drawn.append(charts.line(x, heights[0], x, heights[3], "whisker"))
        drawn.append(charts.line(x, heights[1], x, heights[2], "box"))
        tooltip = f"round {number + 1}: median {quartiles[1]:.3g} of {len(values)} samples"
        middle = charts.up(scale, quartiles[1], _TOP, _BOTTOM)
        drawn.append(charts.circle(x, middle, 3, "counts", tooltip))
    drawn += _each(special, rounds, scale)
    total = len(everything) + len(special)
    return _strip(name, drawn, rounds, scale, y_axis=y_axis, title=title, said=total)


def _each(observed: Sequence[Observed], rounds: Sequence[int], scale: Scale) -> list[Markup]:
    by_round: defaultdict[int, list[Observed]] = defaultdict(list)
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
    said: int,
) -> Markup:
    every = max(1, -(-len(rounds) // 12))  # not every round has room for its number
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
    return charts.drawing(
        name,
        charts.left_axis(scale, y_axis, top=_TOP, bottom=_BOTTOM, left=_LEFT),
        element("g", *numbers, axis, class_="tick"),
        charts.text("round", charts.RIGHT, _BOTTOM + 32, anchor="end", class_="quiet"),
        *drawn,
        height=_BOTTOM + 36,
        title=title,
        description=f"{y_axis} of {said} samples in {len(rounds)} rounds.",
    )


def _place(number: int, place: int, of: int, rounds: int) -> float:
    """Per cent along the page of a round's sample; those of one round stand side by side."""
    band = (charts.RIGHT - _LEFT) / max(rounds, 1)
    return _LEFT + band * (number + 0.15 + 0.7 * (place + 0.5) / of)


def _sample(each: Observed, x: float, scale: Scale) -> Markup:
    if each.kind == "failed":
        return _cross(x, _BOTTOM - 5, 4, "failed", each.tooltip)
    y = charts.up(scale, each.value, _TOP, _BOTTOM)
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
    """A path drawn around a point that lies at ``x`` per cent."""
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
    """Which line is whose."""
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


# Who is beaten by nobody in speed and in error rate at once.


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """The places of the points that no other dominates (Pareto's front).

    A point dominates another where it is at least as fast and at least as right, and better in one
    of the two. Equal points do not dominate each other.

    Args:
        points: speed (more is better) and error rate (less is better) of each.
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
