"""Drawings: what is drawn lies where its number says, and can be read without seeing it."""

from __future__ import annotations

import itertools
import random

import pytest

from mac_whisper_speedtest.report.html import charts, curves
from mac_whisper_speedtest.report.html.curves import pareto_front
from parsed_html import Element, parse


def x_of(element: Element, name: str = "cx") -> float:
    return float((element.attributes[name] or "").removesuffix("%"))


def test_a_dot_plot_puts_larger_values_further_right_and_intervals_around_them() -> None:
    rows = [
        charts.DotRow("quick", 8.0, 7.0, 9.0, note="8.00", spots=[7.5, 8.5]),
        charts.DotRow("slow", 2.0, 1.5, 2.5, note="2.00"),
        charts.DotRow("failed", None, note="no figure"),
    ]
    drawing = parse(charts.dot_plot("p", rows, axis="RTFx", title="Speed")).one("svg")
    quick, slow = drawing.all("circle", class_="mark")
    assert x_of(quick) > x_of(slow)
    lines = drawing.all("line", class_="interval")
    for mark, bar in zip((quick, slow), lines, strict=True):
        assert x_of(bar, "x1") < x_of(mark) < x_of(bar, "x2")
    assert len(drawing.all("circle", class_="spot")) == 2
    assert "failed" in drawing.text


def test_a_drawing_has_a_name_and_a_description_with_its_numbers() -> None:
    rows = [charts.DotRow("quick", 8.0, note="8.00 (7–9)")]
    drawing = parse(charts.dot_plot("p", rows, axis="RTFx", title="Speed of <x>")).one("svg")
    assert drawing.attributes["role"] == "img"
    ids = (drawing.attributes["aria-labelledby"] or "").split()
    by_id = {each.attributes.get("id"): each.text for each in drawing.walk()}
    assert [by_id[each] for each in ids] == ["Speed of <x>", "RTFx. quick: 8.00 (7–9)"]


def test_nothing_in_a_drawing_needs_a_style_attribute_or_a_script() -> None:
    rows = [charts.DotRow("quick", 8.0, 7.0, 9.0)]
    found = parse(charts.dot_plot("p", rows, axis="RTFx", title="Speed"))
    for each in found.walk():
        assert not any(name == "style" or name.startswith("on") for name in each.attributes)


def test_a_scatter_puts_errors_upwards_and_joins_the_front() -> None:
    dots = [
        charts.Dot("right", 2.0, 1.0, front=True),
        charts.Dot("quick", 8.0, 5.0, front=True),
        charts.Dot("beaten", 1.5, 6.0),
    ]
    drawing = parse(charts.scatter("s", dots, x_axis="RTFx", y_axis="WER %", title="t")).one("svg")
    heights = [float(each.attributes["cy"] or "") for each in drawing.all("circle")]
    assert heights[0] > heights[1] > heights[2]
    assert len(drawing.all("line", class_="front")) == 2
    assert len(drawing.all("circle", class_="mark open")) == 1


def test_many_points_get_numbers_instead_of_names() -> None:
    dots = [charts.Dot(f"cell {number}", float(number + 1), 1.0) for number in range(40)]
    drawing = parse(charts.scatter("s", dots, x_axis="x", y_axis="y", title="t")).one("svg")
    said = [each.text for each in drawing.all("text", class_="halo")]
    assert sorted(said, key=int) == [str(number + 1) for number in range(40)]


@pytest.mark.parametrize("seed", range(30))
def test_names_are_moved_apart_and_no_further_than_they_must(seed: int) -> None:
    rnd = random.Random(seed)
    wanted = sorted(rnd.uniform(0, 200) for _ in range(rnd.randint(1, 14)))
    found = charts.spread_apart(wanted, 16)
    assert all(b - a >= 16 - 1e-9 for a, b in itertools.pairwise(found))
    if all(b - a >= 16 for a, b in itertools.pairwise(wanted)):
        assert found == pytest.approx(wanted)
    # The least squares solution keeps the mean.
    assert sum(found) == pytest.approx(sum(wanted))


def test_a_strip_draws_what_counts_and_what_does_not_differently() -> None:
    observed = [
        curves.SamplePoint(0, 1.0, "counts"),
        curves.SamplePoint(0, 1.2, "aside", "retaken"),
        curves.SamplePoint(1, 1.1, "disturbed"),
        curves.SamplePoint(1, 9.0, "failed"),
    ]
    drawing = parse(curves.strip_chart("s", observed, y_axis="seconds", title="t")).one(
        "svg", class_="plot"
    )
    assert len(drawing.all("circle", class_="counts")) == 1
    assert drawing.one("circle", class_="aside").text == "retaken"
    assert len(drawing.all("path", class_="disturbed")) == 1
    assert len(drawing.all("path", class_="failed")) == 1
    # What failed has no place on the scale.
    assert "9" not in [each.text for each in drawing.all("text")]


def test_boxes_stand_for_each_round_and_show_what_is_special() -> None:
    special = [curves.SamplePoint(2, 3.0, "aside")]
    drawing = parse(
        curves.box_chart("b", {0: [1.0, 2.0, 3.0], 1: [2.0]}, special, y_axis="seconds", title="t")
    ).one("svg", class_="plot")
    assert len(drawing.all("line", class_="whisker")) == 2
    assert len(drawing.all("circle", class_="aside")) == 1


def test_curves_differ_in_dash_and_mark_and_not_only_in_color() -> None:
    lines = [curves.Curve(f"cell {n}", [(1.0, n + 1.0), (2.0, n + 2.0)]) for n in range(4)]
    drawing = parse(curves.line_chart("c", lines, x_axis="x", y_axis="y", title="t"))
    dashes = {
        (each.attributes["class"] or "").split()[-1]
        for each in drawing.all("line")
        if "curve" in (each.attributes["class"] or "")
    }
    assert dashes == {"d0", "d1", "d2", "d3"}
    assert [f"cell {n}" in drawing.one("figcaption").text for n in range(4)] == [True] * 4


def test_the_front_is_what_nothing_else_dominates() -> None:
    points = [(10.0, 0.5), (5.0, 0.1), (5.0, 0.2), (1.0, 0.1), (10.0, 0.5), (1.0, 0.05)]
    assert pareto_front(points) == {0, 1, 4, 5}
    assert pareto_front([]) == set()


def test_a_round_of_any_number_takes_no_more_room_than_another() -> None:
    observed = [curves.SamplePoint(number, 1.0, "counts") for number in (0, 7, 10**15)]
    drawing = parse(curves.strip_chart("s", observed, y_axis="seconds", title="t"))
    places = [x_of(each) for each in drawing.all("circle")]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.02)
    assert len(curves.box_chart("b", {10**15: [1.0]}, [], y_axis="seconds", title="t")) < 5000
