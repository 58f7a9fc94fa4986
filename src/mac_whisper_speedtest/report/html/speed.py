"""Sections about speed: the ranking, speed against error rate, and time by length of audio."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from mac_whisper_speedtest.report.figures import (
    accuracy_table,
    duration_table,
    ranking_table,
    references,
)
from mac_whisper_speedtest.report.html import charts
from mac_whisper_speedtest.report.html.curves import Curve, line_chart, pareto_front
from mac_whisper_speedtest.report.html.page import render
from mac_whisper_speedtest.report.tables import (
    Field,
    ReportTable,
    TableColumn,
    TableRow,
    error_rate_field,
    interval_field,
    number_columns,
)
from mac_whisper_speedtest.results.cells import (
    FAST_BUT_WRONG,
    CellTable,
    break_even_lines,
    error_rate_of,
    labels_of,
    shown_tables,
    speed_form,
    summary_of,
    tables_of,
    with_bounds,
)
from mac_whisper_speedtest.results.schema import CellResult, Run
from mac_whisper_speedtest.summary.samples import rtfx_by_round

_COLUMNS = (
    *("backend", "rank", "RTFx", "× best", "verdict", "WER", "status", "median s", "min–max s"),
    *("peak MB", "J/h audio", "load s", "first s", "device", "precision", "rounds", "contract"),
)


def ranking_section(run: Run) -> Markup:
    """A table per model and speech, and the same as a dot plot."""
    parts = [
        (table.title, _plot(run, table), _level(table), ranking_table(run, table, _COLUMNS))
        for table in shown_tables(run)
    ]
    return render("ranking.html", parts=parts)


def _plot(run: Run, table: CellTable) -> Markup | None:
    rows = []
    groups = [group for group in table.groups() if summary_of(group[0]).group is not None]
    for group in groups:
        for place, cell in enumerate(group):
            it = summary_of(cell)
            heading = ""
            if place == 0 and len(groups) > 1:
                wrong = it.fast_but_wrong
                work = "other settings" if cell.contract.deviations else "equal work"
                heading = f"group {it.group}: {FAST_BUT_WRONG if wrong else work}"
            rows.append(
                charts.DotRow(
                    label=table.names[cell.id],
                    value=it.rtfx,
                    low=it.rtfx_bounds.low if it.rtfx_bounds else None,
                    high=it.rtfx_bounds.high if it.rtfx_bounds else None,
                    note=with_bounds(it.rtfx, it.rtfx_bounds, speed_form(it.rtfx)),
                    spots=list(rtfx_by_round(run, cell).values()),
                    heading=heading,
                    bad=it.fast_but_wrong,
                )
            )
    if not rows:
        return None
    return charts.dot_plot(
        f"plot-{table.name}", rows, axis="RTFx, more is faster", title=f"Speed of {table.title}"
    )


def _level(table: CellTable) -> float | None:
    """The lowest confidence level of the intervals of RTFx."""
    bounds = [summary_of(cell).rtfx_bounds for cell in table.cells]
    return min((each.level for each in bounds if each is not None), default=None)


# Speed against error rate.

_FRONT = "no other cell here is both faster and more accurate"


def pareto_section(run: Run) -> Markup:
    """Per speech a scatter plot, its table, and the parts of the error rates."""
    clips = dict.fromkeys(cell.clip.name for cell in run.cells)
    speeches = []
    for number, clip in enumerate(clips):
        cells = [cell for cell in run.cells if cell.clip.name == clip and _rate(cell) is not None]
        known = [cell for cell in cells if summary_of(cell).rtfx is not None]
        if cells:
            drawn = _drawn(run, known, f"pareto-{number}", clip) if known else {"drawing": None}
            speeches.append({"clip": clip, **drawn, **_rates(run, cells)})
    return render("pareto.html", speeches=speeches, front=_FRONT)


def _rate(cell: CellResult) -> float | None:
    found = summary_of(cell).accuracy
    return found.rate if found else None


def _drawn(run: Run, cells: list[CellResult], name: str, clip: str) -> dict[str, object]:
    points = [(summary_of(cell).rtfx or 0.0, _rate(cell) or 0.0) for cell in cells]
    sound = [place for place, cell in enumerate(cells) if not summary_of(cell).fast_but_wrong]
    front = {sound[place] for place in pareto_front([points[place] for place in sound])}
    accuracy = summary_of(cells[0]).accuracy
    metric = accuracy.metric.upper() if accuracy else "WER"
    labels = labels_of(run.cells)
    dots, rows = [], []
    for place, cell in enumerate(cells):
        it = summary_of(cell)
        label = labels[cell.id]
        speed, rate = points[place]
        rtfx = with_bounds(it.rtfx, it.rtfx_bounds, speed_form(it.rtfx))
        low, high = (it.accuracy.rate_low, it.accuracy.rate_high) if it.accuracy else (None, None)
        on_front = "yes" if place in front else "no"
        if it.fast_but_wrong:
            on_front = FAST_BUT_WRONG
        dots.append(
            charts.Dot(
                label=label,
                x=speed,
                y=rate * 100,
                low=it.rtfx_bounds.low if it.rtfx_bounds else None,
                high=it.rtfx_bounds.high if it.rtfx_bounds else None,
                front=place in front,
                bad=it.fast_but_wrong,
                y_low=None if low is None else low * 100,
                y_high=None if high is None else high * 100,
                note=f"RTFx {rtfx}, {metric} {error_rate_of(cell)}",
            )
        )
        rows.append(
            TableRow(
                [
                    label,
                    Field(str(place + 1), place + 1),
                    interval_field(it.rtfx, it.rtfx_bounds, speed_form(it.rtfx)),
                    error_rate_field(it.accuracy),
                    on_front,
                ]
            )
        )
    columns = (
        TableColumn("cell"),
        *number_columns("number", "RTFx", metric),
        TableColumn("on the front"),
    )
    return {
        "drawing": charts.scatter(
            name,
            dots,
            x_axis="RTFx, more is faster",
            y_axis=f"{metric} in %, less is better",
            title=f"Speed against {metric} on {clip}",
            front_note=_FRONT,
        ),
        "numbered": len(dots) > charts.MOST_NAMED,
        "numbers": ReportTable(columns, [rows], caption=f"Speed and {metric} on {clip}"),
    }


def _rates(run: Run, cells: list[CellResult]) -> dict[str, object]:
    """The kinds of errors, and the verdicts of the accuracy gate."""
    labels = labels_of(run.cells)
    judged = {cell.id: found for cell in cells if (found := summary_of(cell).accuracy) is not None}
    table = accuracy_table(cells, judged, labels, caption=f"Errors on {cells[0].clip.name}")
    against = sorted(labels.get(each, each) for each in references(judged.values()))
    return {
        "normalizer": judged[cells[0].id].normalizer,
        "against": against,
        "rates": table,
    }


# Time by length of the audio.


def scaling_section(run: Run) -> Markup:
    """A line chart and a table per model; empty if only one length was measured."""
    parts = []
    for table in tables_of(run.cells):
        cells = [cell for cell in table.cells if summary_of(cell).duration is not None]
        if not cells:
            continue
        lengths = {each.name: each.seconds for each in table.clip.utterances}
        found = [Curve(table.names[cell.id], list(_points(cell, lengths))) for cell in cells]
        drawing = line_chart(
            f"scaling-{table.name}",
            [each for each in found if each.points],
            x_axis="seconds of audio",
            y_axis="seconds of processing",
            title=f"Processing time by length of the audio, {table.title}",
        )
        pairs = list(break_even_lines(cells, table.names))
        parts.append((table.title, drawing, duration_table(cells, table.names), pairs))
    return render("scaling.html", parts=parts)


def _points(cell: CellResult, lengths: dict[str, float]) -> Iterator[tuple[float, float]]:
    fit = summary_of(cell).duration
    for name, seconds in sorted(lengths.items(), key=lambda item: item[1]):
        if fit is not None and name in fit.seconds_by_duration:
            yield seconds, fit.seconds_by_duration[name]
