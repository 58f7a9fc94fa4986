"""Drawings made here, without a library and without a script: dot plots and scatters.

Every drawing has a title and a description; the numbers stand in a table beside it, which is the
caller's to make.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.report.html import scales
from mac_whisper_speedtest.report.html.canvas import (
    AXIS,
    LEFT,
    RIGHT,
    along,
    bottom_axis,
    circle,
    drawing,
    left_axis,
    line,
    text,
    up,
)
from mac_whisper_speedtest.report.html.markup import Html, tag
from mac_whisper_speedtest.report.html.scales import Scale

_SCATTER_LEFT = 13.0
_ROW = 46
_LABEL_GAP = 16
MOST_NAMED = 14
"""Points of a scatter that can have their names beside them; more get numbers."""


@dataclass(frozen=True, slots=True)
class DotRow:
    """One line of a dot plot.

    Attributes:
        label: what it is called.
        value: the estimate; ``None`` draws the label and ``note`` only.
        low: the interval's lower end, where there is an interval.
        high: its upper end.
        note: the value in words, at the right.
        spots: single observations behind the estimate, drawn small.
        heading: begins a new part of the plot with these words.
        bad: whether the value does not count for what it seems to.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    spots: Sequence[float] = ()
    heading: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """One point of a scatter.

    Attributes:
        label: what it is called.
        x: where it lies along the page.
        y: how high it lies.
        low: the lower end of its interval in ``x``, where there is one.
        high: the upper end.
        front: whether nothing is better in both.
        bad: as for a row.
        note: the numbers in words, shown when it is pointed at.
    """

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    front: bool = False
    bad: bool = False
    note: str = ""


def dot_plot(
    name: str, rows: Sequence[DotRow], *, axis: str, title: str, zero: bool | None = None
) -> Html:
    """Estimates with their intervals, a row each, in the order given.

    Args:
        name: unique in the page.
        rows: one at least.
        axis: what is measured, and in which unit.
        title: what is drawn.
        zero: whether the axis begins at zero; ``None`` is by the values.
    """
    every = [
        value
        for row in rows
        for value in (row.value, row.low, row.high, *row.spots)
        if value is not None
    ]
    scale = scales.fit(every, zero=zero, logarithm=zero is None)
    parts: list[Html] = []
    y = 4.0
    for row in rows:
        if row.heading:
            parts.append(text(row.heading, 0, y + 18, class_="quiet"))
            y += 28
        parts.append(_row(row, scale, y))
        y += _ROW
    axis_drawn = bottom_axis(scale, axis, top=4, bottom=y, left=LEFT, right=RIGHT)
    known = [row for row in rows if row.value is not None]
    description = f"{axis}. " + "; ".join(f"{row.label}: {row.note}" for row in known)
    return drawing(name, axis_drawn, *parts, height=y + AXIS, title=title, description=description)


def _row(row: DotRow, scale: Scale, top: float) -> Html:
    middle = top + 30
    parts = [
        text(row.label, 0, top + 16, class_="strong halo"),
        text(row.note, 100, top + 16, anchor="end", class_="halo"),
    ]
    if row.value is not None:
        bad = " bad" if row.bad else ""
        if row.low is not None and row.high is not None:
            ends = along(scale, row.low), along(scale, row.high)
            parts.append(line(ends[0], middle, ends[1], middle, f"interval{bad}"))
        parts += [circle(along(scale, each), middle, 2.2, "spot") for each in row.spots]
        told = f"{row.label}: {row.note}"
        parts.append(circle(along(scale, row.value), middle, 4.5, f"mark{bad}", told))
    return tag("g", *parts)


def scatter(
    name: str, dots: Sequence[Dot], *, x_axis: str, y_axis: str, title: str, front_note: str = ""
) -> Html:
    """Points with their names, or with numbers where they are many; those of the front joined.

    The front is drawn as stairs, for what is better to the right and below.

    Args:
        name: unique in the page.
        dots: one at least; numbers are their places in this order, from 1.
        x_axis: what lies along the page.
        y_axis: what is drawn upwards, from 0.
        title: what is drawn.
        front_note: what being on the front means, for the description.
    """
    top, bottom = 34.0, 360.0
    ends = [value for dot in dots for value in (dot.x, dot.low, dot.high) if value is not None]
    x_scale = scales.fit(ends, logarithm=True)
    y_scale = scales.fit([dot.y for dot in dots], zero=True)
    places = [
        (along(x_scale, dot.x, _SCATTER_LEFT), up(y_scale, dot.y, top, bottom)) for dot in dots
    ]
    front = sorted((place for place, dot in zip(places, dots, strict=True) if dot.front))
    stairs: list[Html] = []
    for (x1, y1), (x2, y2) in itertools.pairwise(front):
        stairs += [line(x1, y1, x2, y1, "front"), line(x2, y1, x2, y2, "front")]
    marks: list[Html] = []
    for dot, (x, y) in zip(dots, places, strict=True):
        bad = " bad" if dot.bad else ""
        if dot.low is not None and dot.high is not None:
            low, high = (along(x_scale, each, _SCATTER_LEFT) for each in (dot.low, dot.high))
            marks.append(line(low, y, high, y, f"range{bad}"))
        shape = "mark" if dot.front else "mark open"
        marks.append(circle(x, y, 6.5 if dot.front else 5.5, shape + bad, dot.note))
    described = "; ".join(
        f"{dot.label}: {dot.note}{f', {front_note}' if dot.front and front_note else ''}"
        for dot in dots
    )
    return drawing(
        name,
        left_axis(y_scale, y_axis, top=top, bottom=bottom, left=_SCATTER_LEFT),
        bottom_axis(x_scale, x_axis, top=top, bottom=bottom, left=_SCATTER_LEFT, right=RIGHT),
        *stairs,
        *marks,
        *_names([dot.label for dot in dots], places, bottom),
        height=bottom + AXIS,
        title=title,
        description=f"{x_axis} against {y_axis}. {described}",
    )


def _names(
    labels: Sequence[str], places: Sequence[tuple[float, float]], bottom: float
) -> list[Html]:
    """A name beside each point, moved up or down until none covers another or the axis."""
    numbered = len(labels) > MOST_NAMED
    wanted = sorted(range(len(labels)), key=lambda index: (places[index][1], places[index][0]))
    heights = spaced([places[index][1] - 10 for index in wanted], 0 if numbered else _LABEL_GAP)
    lowest = bottom - 8
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], lowest)
        lowest = heights[place] - (0 if numbered else _LABEL_GAP)
    found: list[Html] = []
    for index, y in zip(wanted, heights, strict=True):
        x, own = places[index]
        before = x > 55
        at = x - 1.6 if before else x + 1.6
        if abs(y - (own - 10)) > _LABEL_GAP:
            found.append(line(x, own, at, y - 4, "leader"))
        label = str(index + 1) if numbered else labels[index]
        found.append(text(label, at, y, anchor="end" if before else "start", class_="halo"))
    return found


def spaced(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights near ``wanted`` (rising) that lie ``gap`` apart at least.

    Neighbours that are too near become a block around their common middle; blocks that touch are
    joined, as pool-adjacent-violators does.
    """
    blocks: list[tuple[float, int]] = []  # the sum of wished-for beginnings, and how many
    for value in wanted:
        total, count = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] + blocks[-1][1] * gap > total / count:
            earlier, number = blocks.pop()
            # A member's wish for where its block begins is its own wish less its place in it.
            total, count = earlier + total - number * gap * count, number + count
        blocks.append((total, count))
    return [total / count + place * gap for total, count in blocks for place in range(count)]
