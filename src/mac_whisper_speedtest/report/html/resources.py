"""What else a backend costs: memory, energy, and the time until it is ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import charts, tables
from mac_whisper_speedtest.report.html.cells import Limits, Ranked, summary_of
from mac_whisper_speedtest.report.html.markup import Html, clipped, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field, Row
from mac_whisper_speedtest.report.numbers import MISSING
from mac_whisper_speedtest.results.schema import CellResult, Run, Summary

_MB = 1e-6


def memory(run: Run) -> Html:
    """Peak memory of each cell's process, of its device, and the size of its weights."""
    parts: list[str] = [
        tag(
            "p",
            "Peak memory is the most that a worker process held at once, its libraries and weights "
            "included; device memory is what a GPU of its own held.",
            class_="quiet",
        )
    ]
    for table in named.ranked(run):
        if not any(cell.samples for cell in table.cells):
            continue
        parts.append(tag("h3", table.title))
        parts.append(
            _drawn(
                table,
                f"memory-{table.name}",
                lambda it: it.peak_rss_bytes,
                factor=_MB,
                axis="peak memory in MB, less is better",
                title=f"Peak memory of {table.title}",
            )
        )
        rows = [
            Row(
                [
                    named.name_of(cell),
                    tables.number(summary_of(cell).peak_rss_bytes, ".0f", _MB),
                    _device(cell),
                    tables.number(
                        cell.model.weights.size_bytes if cell.model.weights else None, ".0f", _MB
                    ),
                ]
            )
            for cell in table.cells
        ]
        columns = (
            Column("backend"),
            Column("peak MB", number=True),
            Column("device MB", number=True),
            Column("weights MB", number=True),
        )
        parts.append(tables.table(columns, [rows], caption=f"Memory of {table.title}"))
    return join(parts)


def energy(run: Run, limits: Limits) -> Html:
    """Joules per hour of audio; where there are none, why."""
    parts: list[str] = []
    reasons = {
        _why(cell) for cell in run.cells if summary_of(cell).joules_per_audio_hour is None
    } - {""}
    if not any(summary_of(cell).joules_per_audio_hour is not None for cell in run.cells):
        words = clipped("; ".join(sorted(reasons)), limits.message) or "not measured"
        return tag("p", tag("strong", "Energy: "), words)
    for table in named.ranked(run):
        if not any(cell.samples for cell in table.cells):
            continue
        parts.append(tag("h3", table.title))
        parts.append(
            _drawn(
                table,
                f"energy-{table.name}",
                lambda it: it.joules_per_audio_hour,
                axis="joules per hour of audio above idle, less is better",
                title=f"Energy of {table.title}",
            )
        )
        rows = [
            Row(
                [
                    named.name_of(cell),
                    tables.number(summary_of(cell).joules_per_audio_hour, ".0f"),
                    summary_of(cell).energy_quality or MISSING,
                ]
            )
            for cell in table.cells
        ]
        columns = (
            Column("backend"),
            Column("J per hour of audio", number=True),
            Column("how it was measured", long=True),
        )
        parts.append(tables.table(columns, [rows], caption=f"Energy of {table.title}"))
    return join(parts)


def readiness(run: Run) -> Html:
    """The time from nothing to the first text."""
    rows = []
    for cell in run.cells:
        it = summary_of(cell)
        if not cell.loads:
            continue
        seconds: Sequence[tuple[float | None, str]] = (
            (it.import_s, ".2f"),
            (it.load_s, ".2f"),
            (it.load_cold_s, ".2f"),
            (it.load_warm_s, ".2f"),
            (it.first_s, ".3f"),
            (it.first_segment_s, ".3f"),
            (it.cores_used, ".1f"),
        )
        rows.append(
            Row(
                [
                    named.label_of(cell, run),
                    *(tables.number(value, form) for value, form in seconds),
                ]
            )
        )
    if not rows:
        return tag("p", "No backend was loaded.")
    headings = (
        "import s",
        "load s",
        "cold load s",
        "warm load s",
        "first call s",
        "first segment s",
        "cores used",
    )
    return tables.table(
        [Column("cell"), *(Column(each, number=True) for each in headings)],
        [rows],
        caption="Getting ready: medians over processes",
    )


def _drawn(
    table: Ranked,
    name: str,
    look: Callable[[Summary], float | None],
    *,
    axis: str,
    title: str,
    factor: float = 1.0,
) -> Html:
    """A dot per cell, from zero; the smallest first."""
    found = [
        (value * factor, cell)
        for cell in table.cells
        if (value := look(summary_of(cell))) is not None
    ]
    if len(found) < 2:
        return Html("")
    found.sort(key=lambda each: each[0])
    rows = [
        charts.DotRow(
            label=named.name_of(cell),
            value=value,
            note=f"{value:.0f}",
            bad=summary_of(cell).fast_but_wrong,
        )
        for value, cell in found
    ]
    return tag("figure", charts.dot_plot(name, rows, axis=axis, title=title, zero=True))


def _device(cell: CellResult) -> Field:
    """What the GPU held, or why nobody knows."""
    held = summary_of(cell).device_memory_bytes
    if held is not None:
        return tables.number(held, ".0f", _MB)
    readings = (meter.readings.get("gpu_peak_bytes") for meter in cell.meters)
    reason = next((each.reason for each in readings if each and each.reason), "")
    return (
        Field(tag("small", f"not measured: {clipped(reason, 120)}"), "")
        if reason
        else Field("–", "")
    )


def _why(cell: CellResult) -> str:
    return summary_of(cell).energy_quality or ("not measured" if cell.samples else "")
