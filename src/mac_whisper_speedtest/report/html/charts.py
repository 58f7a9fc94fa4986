"""SVG: scales, axes, dot plots and scatter plots, without a script.

Every drawing has a title and a description. The caller adds a table with the same numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

# Scales.

LOG_RATIO = 30.0
"""Ratio of the largest to the smallest value above which an axis may be logarithmic."""
ZERO_RATIO = 2.0
"""Below this ratio, more than half of an axis that begins at zero would be empty."""
_TICKS = 5
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Attributes:
        low: the value at its beginning.
        high: the value at its end; above ``low``.
        ticks: the labeled values, rising.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def fraction(self, value: float) -> float:
        """0 at the beginning, 1 at the end; values outside are clamped."""
        if self.log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def label(self, value: float) -> str:
        """A tick's text, with as many digits as its neighbors need."""
        if self.log or len(self.ticks) < 2:
            return f"{value:g}"
        step = self.ticks[1] - self.ticks[0]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        # 2.5 and 0.25 need one digit more than their power of ten.
        needed = digits if math.isclose(step, round(step, digits)) else digits + 1
        return f"{value:.{needed}f}"


def fit_scale(
    values: Iterable[float], *, zero: bool | None = None, logarithm: bool = False
) -> Scale:
    """An axis that includes all values.

    Args:
        values: those that are not finite are ignored; without any, the axis is from 0 to 1.
        zero: whether it begins at 0; ``None``: decided by ``ZERO_RATIO``.
        logarithm: whether it is logarithmic if ``LOG_RATIO`` is exceeded.
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
    """The smallest round number that is not below ``raw``."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in _STEPS if factor * power >= raw * (1 - 1e-9))


# Elements. Widths are percentages and heights are pixels, so that a drawing fits any page and its
# text keeps its size. Colors are classes of ``page.css``: light and dark share one drawing.


def element(name: str, /, *children: str, **attributes: object) -> Markup:
    """One element of a drawing.

    Args:
        name: its tag.
        children: plain text is escaped.
        attributes: ``class_`` is ``class`` and ``aria_label`` is ``aria-label``; empty ones are
            omitted.
    """
    opening = name + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    if not children:
        return Markup(f"<{opening}/>")  # noqa: S704  (escaped above)
    return Markup(f"<{opening}>{Markup().join(children)}</{name}>")  # noqa: S704


LEFT, RIGHT = 1.5, 97.0
"""Edges of a dot plot, in per cent of the width."""
AXIS = 40
"""Height of the axis under a drawing, in pixels."""


def percent(value: float) -> str:
    """A length as CSS."""
    return f"{value:.2f}%"


def svg(name: str, *parts: str, height: float, title: str, description: str) -> Markup:
    """The ``<svg>`` element.

    Args:
        name: unique in the page; ids are derived from it.
        parts: what is drawn.
        height: in pixels.
        title: what it is, for screen readers.
        description: its content, for screen readers.
    """
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *parts,
        class_="plot",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        height=f"{height:g}",
    )


def text(content: str, x: float, y: float, *, anchor: str = "", class_: str = "") -> Markup:
    """Text that begins (or is centered, or ends) at ``x`` per cent, with its base line at ``y``."""
    return element("text", content, x=percent(x), y=f"{y:g}", text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line; ``x`` in per cent, ``y`` in pixels."""
    return element(
        "line", x1=percent(x1), y1=f"{y1:.1f}", x2=percent(x2), y2=f"{y2:.1f}", class_=class_
    )


def circle(x: float, y: float, radius: float, class_: str, tooltip: str = "") -> Markup:
    """A dot; ``x`` in per cent, ``y`` and ``radius`` in pixels."""
    inner = (element("title", tooltip),) if tooltip else ()
    return element("circle", *inner, cx=percent(x), cy=f"{y:.1f}", r=f"{radius:g}", class_=class_)


def x_percent(scale: Scale, value: float, left: float = LEFT, right: float = RIGHT) -> float:
    """The position of ``value``, in per cent of the width."""
    return left + (right - left) * scale.fraction(value)


def bottom_axis(
    scale: Scale, label: str, *, top: float, bottom: float, left: float, right: float
) -> Markup:
    """Grid lines with their numbers, and the label below them."""
    ticks = []
    for value in scale.ticks:
        x = x_percent(scale, value, left, right)
        ticks.append(line(x, top, x, bottom, "grid"))
        anchor = "start" if x < 4 else "end" if x > 96 else "middle"
        ticks.append(text(scale.label(value), x, bottom + 16, anchor=anchor))
    name = f"{label} (logarithmic)" if scale.log else label
    return element(
        "g",
        *ticks,
        line(left, bottom, right, bottom, "axis"),
        text(name, (left + right) / 2, bottom + 34, anchor="middle", class_="quiet"),
        class_="tick",
    )


def left_axis(scale: Scale, label: str, *, top: float, bottom: float, left: float) -> Markup:
    """Grid lines with their numbers at the left, and the label above them."""
    ticks = []
    for value in scale.ticks:
        y = y_pixels(scale, value, top, bottom)
        ticks.append(line(left, y, RIGHT, y, "grid"))
        ticks.append(text(scale.label(value), left - 1, y + 4, anchor="end"))
    return element("g", *ticks, text(label, 0, top - 12, class_="quiet"), class_="tick")


def y_pixels(scale: Scale, value: float, top: float, bottom: float) -> float:
    """The position of ``value``, in pixels from the top."""
    return bottom - (bottom - top) * scale.fraction(value)


_SCATTER_LEFT = 13.0
_ROW = 46
_LABEL_GAP = 16
MOST_NAMED = 14
"""Points of a scatter plot that get their names; if there are more, all get numbers."""


@dataclass(frozen=True, slots=True)
class DotRow:
    """One line of a dot plot.

    Attributes:
        value: the estimate; ``None`` draws only ``label`` and ``note``.
        low: lower end of its interval, if there is one.
        high: upper end.
        note: the value as text, at the right.
        spots: single observations behind the estimate, drawn small.
        heading: begins a new part of the plot.
        bad: whether it is fast but wrong.
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
    """One point of a scatter plot.

    Attributes:
        low: lower end of its interval in ``x``, if there is one.
        high: upper end.
        y_low: lower end of its interval in ``y``, if there is one.
        y_high: upper end.
        front: whether it is on Pareto's front.
        bad: whether it is fast but wrong.
        note: the numbers as text, for the tooltip.
    """

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    front: bool = False
    bad: bool = False
    note: str = ""


def dot_plot(
    name: str, rows: Sequence[DotRow], *, axis: str, title: str, zero: bool | None = None
) -> Markup:
    """Estimates with their intervals, one row each, in the given order.

    Args:
        name: unique in the page.
        rows: at least one.
        axis: what is measured, with the unit.
        title: what is drawn.
        zero: as for :func:`fit_scale`.
    """
    every = [
        value
        for row in rows
        for value in (row.value, row.low, row.high, *row.spots)
        if value is not None
    ]
    scale = fit_scale(every, zero=zero, logarithm=zero is None)
    parts: list[Markup] = []
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
    return svg(name, axis_drawn, *parts, height=y + AXIS, title=title, description=description)


def _row(row: DotRow, scale: Scale, top: float) -> Markup:
    middle = top + 30
    parts = [
        text(row.label, 0, top + 16, class_="strong halo"),
        text(row.note, 100, top + 16, anchor="end", class_="halo"),
    ]
    if row.value is not None:
        bad = " bad" if row.bad else ""
        if row.low is not None and row.high is not None:
            ends = x_percent(scale, row.low), x_percent(scale, row.high)
            parts.append(line(ends[0], middle, ends[1], middle, f"interval{bad}"))
        parts += [circle(x_percent(scale, each), middle, 2.2, "spot") for each in row.spots]
        tooltip = f"{row.label}: {row.note}"
        parts.append(circle(x_percent(scale, row.value), middle, 4.5, f"mark{bad}", tooltip))
    return element("g", *parts)


def scatter(
    name: str, dots: Sequence[Dot], *, x_axis: str, y_axis: str, title: str, front_note: str = ""
) -> Markup:
    """Points with names, or with numbers if they are many or the page is narrow.

    Better is to the right and below; stairs join the points on Pareto's front.

    Args:
        name: unique in the page.
        dots: at least one; their numbers count from 1 in this order.
        x_axis: label of the horizontal axis.
        y_axis: label of the vertical axis, which begins at 0.
        title: what is drawn.
        front_note: the meaning of the front, for the description.
    """
    top, bottom = 34.0, 360.0
    ends = [value for dot in dots for value in (dot.x, dot.low, dot.high) if value is not None]
    x_scale = fit_scale(ends, logarithm=True)
    y_scale = fit_scale([dot.y if dot.y_high is None else dot.y_high for dot in dots], zero=True)
    places = [
        (x_percent(x_scale, dot.x, _SCATTER_LEFT), y_pixels(y_scale, dot.y, top, bottom))
        for dot in dots
    ]
    front = sorted((place for place, dot in zip(places, dots, strict=True) if dot.front))
    stairs: list[Markup] = []
    for (x1, y1), (x2, y2) in itertools.pairwise(front):
        stairs += [line(x1, y1, x2, y1, "front"), line(x2, y1, x2, y2, "front")]
    marks: list[Markup] = []
    for dot, (x, y) in zip(dots, places, strict=True):
        bad = " bad" if dot.bad else ""
        if dot.low is not None and dot.high is not None:
            low, high = (x_percent(x_scale, each, _SCATTER_LEFT) for each in (dot.low, dot.high))
            marks.append(line(low, y, high, y, f"range{bad}"))
        if dot.y_low is not None and dot.y_high is not None:
            down, up = (y_pixels(y_scale, each, top, bottom) for each in (dot.y_low, dot.y_high))
            marks.append(line(x, down, x, up, f"range{bad}"))
        shape = "mark" if dot.front else "mark open"
        marks.append(circle(x, y, 6.5 if dot.front else 5.5, shape + bad, dot.note))
    described = "; ".join(
        f"{dot.label}: {dot.note}{f', {front_note}' if dot.front and front_note else ''}"
        for dot in dots
    )
    return svg(
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
) -> list[Markup]:
    """A name next to each point, moved up or down to avoid other names and the axis."""
    numbered = len(labels) > MOST_NAMED
    order = sorted(range(len(labels)), key=lambda index: (places[index][1], places[index][0]))
    heights = spread_apart(
        [places[index][1] - 10 for index in order], 0 if numbered else _LABEL_GAP
    )
    lowest = bottom - 8
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], lowest)
        lowest = heights[place] - (0 if numbered else _LABEL_GAP)
    found: list[Markup] = []
    for index, y in zip(order, heights, strict=True):
        x, own = places[index]
        before = x > 55
        at = x - 1.6 if before else x + 1.6
        if abs(y - (own - 10)) > _LABEL_GAP:
            found.append(line(x, own, at, y - 4, "leader"))
        anchor, number = "end" if before else "start", str(index + 1)
        if numbered:
            found.append(text(number, at, y, anchor=anchor, class_="halo"))
            continue
        found.append(text(labels[index], at, y, anchor=anchor, class_="halo wide"))
        found.append(text(number, at, y, anchor=anchor, class_="halo narrow"))
    return found


def spread_apart(ideal: Sequence[float], gap: float) -> list[float]:
    """Heights near the ``ideal`` ones (rising), at least ``gap`` apart.

    Heights that are too close become a block around their mean; blocks that overlap are joined
    (pool adjacent violators).
    """
    blocks: list[tuple[float, int]] = []  # sum of the ideal starts of its members, and their number
    for value in ideal:
        total, count = value, 1
        while blocks and blocks[-1][0] / blocks[-1][1] + blocks[-1][1] * gap > total / count:
            earlier, number = blocks.pop()
            # A member's ideal start of its block is its own height minus its offset in the block.
            total, count = earlier + total - number * gap * count, number + count
        blocks.append((total, count))
    return [total / count + place * gap for total, count in blocks for place in range(count)]
