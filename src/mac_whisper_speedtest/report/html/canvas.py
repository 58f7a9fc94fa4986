"""What every drawing is made of: the ``<svg>`` around it, lines, dots, texts and axes.

Lengths along the page are percentages and heights are pixels, so that a drawing is as wide as its
place, on a phone too, and its text keeps its size. Colours are classes of ``page.css``, so that
light and dark need one drawing only.
"""

from __future__ import annotations

from mac_whisper_speedtest.report.html.markup import Html, tag
from mac_whisper_speedtest.report.html.scales import Scale

LEFT, RIGHT = 1.5, 97.0
"""Per cent of the width between which dot plots are drawn."""
AXIS = 40
"""Pixels under a drawing that its axis takes."""


def percent(value: float) -> str:
    """A length along the page."""
    return f"{value:.2f}%"


def drawing(name: str, *parts: str, height: float, title: str, description: str) -> Html:
    """The ``<svg>`` around a drawing.

    Args:
        name: unique in the page; ids are made of it.
        parts: what is drawn.
        height: in pixels.
        title: what it is, for those who cannot see it.
        description: what it shows.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", description, id=f"{name}-desc"),
        *parts,
        class_="plot",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        height=f"{height:g}",
    )


def text(content: str, x: float, y: float, *, anchor: str = "", class_: str = "") -> Html:
    """Text that begins (or is centred, or ends) at ``x`` per cent with its base line at ``y``."""
    return tag(
        "text", content, x=percent(x), y=f"{y:g}", text_anchor=anchor or None, class_=class_ or None
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """A straight line; ``x`` in per cent, ``y`` in pixels."""
    return tag(
        "line", x1=percent(x1), y1=f"{y1:.1f}", x2=percent(x2), y2=f"{y2:.1f}", class_=class_
    )


def circle(x: float, y: float, radius: float, class_: str, told: str = "") -> Html:
    """A dot, with what a pointer at it is told."""
    inner = (tag("title", told),) if told else ()
    return tag("circle", *inner, cx=percent(x), cy=f"{y:.1f}", r=f"{radius:g}", class_=class_)


def along(scale: Scale, value: float, left: float = LEFT, right: float = RIGHT) -> float:
    """Per cent of the width at which ``value`` lies."""
    return left + (right - left) * scale.place(value)


def bottom_axis(
    scale: Scale, label: str, *, top: float, bottom: float, left: float, right: float
) -> Html:
    """Grid lines, their numbers and the axis's name under a drawing."""
    ticks = []
    for value in scale.ticks:
        x = along(scale, value, left, right)
        ticks.append(line(x, top, x, bottom, "grid"))
        anchor = "start" if x < 4 else "end" if x > 96 else "middle"
        ticks.append(text(scale.label(value), x, bottom + 16, anchor=anchor))
    name = f"{label} (logarithmic)" if scale.log else label
    return tag(
        "g",
        *ticks,
        line(left, bottom, right, bottom, "axis"),
        text(name, (left + right) / 2, bottom + 34, anchor="middle", class_="quiet"),
        class_="tick",
    )


def left_axis(scale: Scale, label: str, *, top: float, bottom: float, left: float) -> Html:
    """Grid lines and numbers at the left; the axis's name stands above it."""
    ticks = []
    for value in scale.ticks:
        y = up(scale, value, top, bottom)
        ticks.append(line(left, y, RIGHT, y, "grid"))
        ticks.append(text(scale.label(value), left - 1, y + 4, anchor="end"))
    return tag("g", *ticks, text(label, 0, top - 12, class_="quiet"), class_="tick")


def up(scale: Scale, value: float, top: float, bottom: float) -> float:
    """The height, in pixels from the top, at which ``value`` lies."""
    return bottom - (bottom - top) * scale.place(value)
