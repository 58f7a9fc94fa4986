"""Sections about speed: the ranking, speed against error rate, and time by length of audio."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from mac_whisper_speedtest.report.html import charts
from mac_whisper_speedtest.report.html.curves import Curve, line_chart, pareto_front
from mac_whisper_speedtest.report.html.page import render
from mac_whisper_speedtest.report.html.tables import (
    Field,
    PageTable,
    TableColumn,
    TableRow,
    error_rate_field,
    interval_field,
    number_columns,
    number_field,
    rank_field,
    status_field,
)
from mac_whisper_speedtest.results.cells import (
    FAST_BUT_WRONG,
    MISSING,
    CellTable,
    break_even_lines,
    contract_of,
    labels_of,
    measured_amount,
    percent,
    range_text,
    summary_of,
    tables_of,
    with_bounds,
)
from mac_whisper_speedtest.results.schema import CellResult, Run
from mac_whisper_speedtest.summary.samples import rtfx_by_round

_VERDICTS = {"FASTER": "good", "SLOWER": "bad", "SAME": "good", "AMBIGUOUS": "warn"}
_COLUMNS = (
    TableColumn("backend"),
    *number_columns("rank", "RTFx", "× best"),
    TableColumn("verdict"),
    TableColumn("WER", number=True),
    TableColumn("status"),
    *number_columns("median s", "min–max s", "peak MB", "J/h audio", "load s", "first s"),
    TableColumn("device"),
    TableColumn("precision"),
    TableColumn("rounds", number=True),
    TableColumn("contract"),
)


def ranking_section(run: Run) -> Markup:
    """A table per model and speech, and the same as a dot plot."""
    parts = [
        (table.title, _plot(run, table), _level(table), _table(run, table))
        for table in tables_of(run.cells)
    ]
    return render("ranking.html", parts=parts)


def _table(run: Run, table: CellTable) -> PageTable:
    bodies = [
        [_row(table, cell, several=len(group) > 1) for cell in group] for group in table.groups()
    ]
    request = run.manifest.request
    measured = measured_amount(run, whole_set=bool(table.clip.utterances))
    caption = (
        f"{table.title}: contract {request.contract.get('name', MISSING)}, {measured}, "
        f"{request.threads} threads"
    )
    return PageTable(_COLUMNS, bodies, caption=caption, name=f"ranking-{table.name}")


def _row(table: CellTable, cell: CellResult, *, several: bool) -> TableRow:
    it = summary_of(cell)
    verdict: str | Field = MISSING
    alone = it.rank == 1 and it.rank_last == 1
    if it.fast_but_wrong:
        verdict = Field("ranked separately")
    elif it.verdict:
        verdict = Field(it.verdict, badge=_VERDICTS.get(it.verdict, "warn"))
    elif it.rank is not None and it.times_best == 1:
        verdict = Field("fastest of its group" if several else "alone in its group")
    spread = (
        Field(MISSING, "")
        if it.min_s is None or it.max_s is None
        else Field(range_text(it.min_s, it.max_s, ".3f"), it.min_s)
    )
    energy = (
        Field("not measured", "")
        if it.joules_per_audio_hour is None
        else number_field(it.joules_per_audio_hour, ".0f")
    )
    return TableRow(
        [
            table.names[cell.id],
            rank_field(it.rank, it.rank_last, it.group),
            interval_field(it.rtfx, it.rtfx_bounds, ".2f"),
            interval_field(it.times_best, it.times_best_bounds, ".2f"),
            verdict,
            error_rate_field(it),
            status_field(cell),
            number_field(it.median_s, ".3f"),
            spread,
            number_field(it.peak_rss_bytes, ".0f", 1e-6),
            energy,
            number_field(it.load_s, ".2f"),
            number_field(it.first_s, ".3f"),
            cell.backend.device or MISSING,
            cell.backend.precision or MISSING,
            Field(f"{it.rounds_ok} of {it.rounds_asked}", it.rounds_ok),
            contract_of(cell),
        ],
        class_="first" if alone and several and not it.fast_but_wrong else "",
    )


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
                    note=with_bounds(it.rtfx, it.rtfx_bounds, ".2f"),
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
        rtfx = with_bounds(it.rtfx, it.rtfx_bounds, ".2f")
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
                note=f"RTFx {rtfx}, {metric} {percent(rate)}",
            )
        )
        rows.append(
            TableRow(
                [
                    label,
                    Field(str(place + 1), place + 1),
                    interval_field(it.rtfx, it.rtfx_bounds, ".2f"),
                    number_field(rate * 100, ".2f"),
                    on_front,
                ]
            )
        )
    columns = (
        TableColumn("cell"),
        *number_columns("number", "RTFx", f"{metric} %"),
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
        "numbers": PageTable(columns, [rows], caption=f"Speed and {metric} on {clip}"),
    }


def _rates(run: Run, cells: list[CellResult]) -> dict[str, object]:
    """The kinds of errors, and the verdicts of the accuracy gate."""
    labels = labels_of(run.cells)
    rows = []
    judged = [found for cell in cells if (found := summary_of(cell).accuracy) is not None]
    reference_ids = {found.against for found in judged if found.against is not None}
    against = [labels.get(each, each) for each in reference_ids]
    for cell, found in zip(cells, judged, strict=True):
        delta: str | Field = MISSING
        if found.delta is not None:
            ends = (
                f" ({found.delta_low * 100:+.2f} to {found.delta_high * 100:+.2f})"
                if found.delta_low is not None and found.delta_high is not None
                else ""
            )
            delta = Field(f"{found.delta * 100:+.2f}{ends}", found.delta)
        rows.append(
            TableRow(
                [
                    labels[cell.id],
                    number_field(found.rate, ".2%"),
                    number_field(found.cer, ".2%"),
                    number_field(found.mean_rate, ".2%"),
                    str(found.substitutions),
                    str(found.deletions),
                    str(found.insertions),
                    str(found.reference_words),
                    str(found.failed),
                    delta,
                    found.verdict or ("reference" if cell.id in reference_ids else MISSING),
                    found.how or MISSING,
                ]
            )
        )
    first = judged[0]
    columns = (
        TableColumn("cell"),
        *number_columns(
            first.metric.upper(),
            "CER",
            f"mean {first.metric.upper()}",
            "replaced",
            "missing",
            "added",
            "words" if first.metric == "wer" else "characters",
            "failed",
            "Δ points",
        ),
        TableColumn("verdict"),
        TableColumn("how", long=True),
    )
    return {
        "normalizer": first.normalizer,
        "against": sorted(against),
        "rates": PageTable(columns, [rows], caption=f"Errors on {cells[0].clip.name}"),
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
        fits = _fits(table, cells, list(lengths))
        parts.append((table.title, drawing, fits, list(break_even_lines(cells, table.names))))
    return render("scaling.html", parts=parts)


def _points(cell: CellResult, lengths: dict[str, float]) -> Iterator[tuple[float, float]]:
    fit = summary_of(cell).duration
    for name, seconds in sorted(lengths.items(), key=lambda item: item[1]):
        if fit is not None and name in fit.seconds_by_duration:
            yield seconds, fit.seconds_by_duration[name]


def _fits(table: CellTable, cells: list[CellResult], lengths: list[str]) -> PageTable:
    rows = []
    for cell in cells:
        fit = summary_of(cell).duration
        assert fit is not None
        rows.append(
            TableRow(
                [
                    table.names[cell.id],
                    interval_field(fit.fixed_s, fit.fixed, ".2f"),
                    interval_field(fit.per_audio_s, fit.per_audio, ".4f"),
                    fit.shape or MISSING,
                    number_field(fit.window_s, ".3f"),
                    *(number_field(fit.seconds_by_duration.get(each), ".2f") for each in lengths),
                ]
            )
        )
    headings = ("fixed s", "s per audio s", "grows by", "30 s window s", *lengths)
    columns = [
        TableColumn("backend"),
        *(TableColumn(each, number=each != "grows by") for each in headings),
    ]
    return PageTable(columns, [rows], caption=f"Seconds by length of the audio, {table.title}")
