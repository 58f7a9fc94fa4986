"""Sections about memory, energy, loading times, and the state of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from markupsafe import Markup

from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report.figures import cell_table
from mac_whisper_speedtest.report.html import charts
from mac_whisper_speedtest.report.html.curves import Curve, line_chart
from mac_whisper_speedtest.report.html.page import Limits, render
from mac_whisper_speedtest.report.tables import (
    Field,
    ReportTable,
    TableColumn,
    TableRow,
    number_field,
)
from mac_whisper_speedtest.results.cells import (
    MISSING,
    CellTable,
    calls_of_process,
    labels_of,
    summary_of,
    tables_of,
)
from mac_whisper_speedtest.results.memory import figure_on
from mac_whisper_speedtest.results.schema import CellResult, RoundResult, Run, Summary

_MB = 1e-6


def memory_section(run: Run) -> Markup:
    """Peak memory of each cell's process and device, and the size of its weights."""
    parts = []
    for table in _with_samples(run):
        drawing = _drawn(
            table,
            f"memory-{table.name}",
            lambda it: it.peak_memory_bytes,
            factor=_MB,
            axis="peak memory in MB, less is better",
            title=f"Peak memory of {table.title}",
        )
        columns = (
            "backend",
            "first call peak MB",
            "peak MB",
            "device MB",
            "allocator MB",
            "weights MB",
        )
        caption = f"Memory of {table.title}"
        numbers = cell_table(columns, [table.cells], table.names, caption=caption)
        parts.append((table.title, drawing, numbers))
    figure = figure_on(run.manifest.machine.os)
    return render("memory.html", parts=parts, calls=calls_of_process(run), words=figure.words)


def energy_section(run: Run, limits: Limits) -> Markup:
    """Joules per hour of audio, or why they are unknown."""
    columns = (
        TableColumn("backend"),
        TableColumn("J per hour of audio", number=True),
        TableColumn("how it was measured", long=True),
    )
    reason = ""
    if all(summary_of(cell).joules_per_audio_hour is None for cell in run.cells):
        reasons = sorted({_why(cell) for cell in run.cells} - {""})
        reason = clipped("; ".join(reasons), limits.message) or "not measured"
    parts = []
    for table in _with_samples(run):
        drawing = _drawn(
            table,
            f"energy-{table.name}",
            lambda it: it.joules_per_audio_hour,
            axis="joules per hour of audio above idle, less is better",
            title=f"Energy of {table.title}",
        )
        rows = [
            TableRow(
                [
                    table.names[cell.id],
                    number_field(summary_of(cell).joules_per_audio_hour, ".0f"),
                    summary_of(cell).energy_quality or MISSING,
                ]
            )
            for cell in table.cells
        ]
        numbers = ReportTable(columns, [rows], caption=f"Energy of {table.title}")
        parts.append((table.title, drawing, numbers))
    return render("energy.html", reason=reason, parts=parts)


def _with_samples(run: Run) -> list[CellTable]:
    return [each for each in tables_of(run.cells) if any(cell.samples for cell in each.cells)]


def readiness_section(run: Run) -> Markup:
    """The time until the first text: import, load, first call."""
    cells = [cell for cell in run.cells if cell.loads]
    times = cell_table(
        (
            *("backend", "import s", "load s", "cold load s", "warm load s"),
            *("first s", "first segment s", "cores"),
        ),
        [cells],
        labels_of(run.cells),
        caption="Loading: medians over processes",
    )
    return render("readiness.html", times=times if cells else None)


def _drawn(
    table: CellTable,
    name: str,
    value_of: Callable[[Summary], float | None],
    *,
    axis: str,
    title: str,
    factor: float = 1.0,
) -> Markup | None:
    """A dot per cell, the smallest first; ``None`` for fewer than two cells."""
    found = [
        (value * factor, cell)
        for cell in table.cells
        if (value := value_of(summary_of(cell))) is not None
    ]
    if len(found) < 2:
        return None
    found.sort(key=lambda each: each[0])
    rows = [
        charts.DotRow(
            label=table.names[cell.id],
            value=value,
            note=f"{value:.0f}",
            bad=summary_of(cell).fast_but_wrong,
        )
        for value, cell in found
    ]
    return charts.dot_plot(name, rows, axis=axis, title=title, zero=True)


def _why(cell: CellResult) -> str:
    return summary_of(cell).energy_quality or ("not measured" if cell.samples else "")


# The machine before and after each round.

_REASON = 200
_UNITS = {
    "load_average_1m": ("load average", 1.0, ".2f"),
    "swap_used_bytes": ("swap MB", 1e-6, ".0f"),
    "memory_pressure": ("memory pressure", 1.0, ""),
    "memory_stall_share": ("memory stall %", 100.0, ".1f"),
    "thermal_pressure": ("thermal pressure", 1.0, ""),
    "hottest_c": ("hottest °C", 1.0, ".0f"),
    "zones_reached": ("thermal limits", 1.0, ""),
    "gpu_throttle": ("GPU held back", 1.0, ""),
    "gpu_clocks_mhz": ("GPU MHz", 1.0, ""),
    "cpu_mhz": ("CPU MHz", 1.0, ".0f"),
    "cpu_limit_mhz": ("CPU limit MHz", 1.0, ".0f"),
    "power_source": ("power", 1.0, ""),
    "power_mode": ("power mode", 1.0, ""),
}


def conditions_section(run: Run, limits: Limits) -> Markup:
    """The canary as a line chart, the rounds as a table, and which conditions are unknown."""
    rounds = sorted(run.rounds, key=lambda each: each.round)
    return render(
        "conditions.html",
        total=len(rounds),
        flagged=sum(bool(each.flagged) for each in rounds),
        canary=_canary(rounds[: limits.entries]),
        rounds=_table(rounds[: limits.entries]),
        more=len(rounds) - limits.entries,
        unknown={
            _UNITS.get(name, (name,))[0]: clipped(reason, _REASON)
            for name, reason in dict(_reasons(rounds)).items()
        },
    )


def _canary(rounds: list[RoundResult]) -> Markup | None:
    """The reference workload (canary), timed before and after every round."""
    lines = [
        Curve(
            name,
            [
                (each.round + 1, seconds * 1000)
                for each in rounds
                if (seconds := getattr(each, attribute)) is not None
            ],
        )
        for name, attribute in (
            ("before the round", "canary_before_s"),
            ("after it", "canary_after_s"),
        )
    ]
    known = [each for each in lines if each.points]
    if not known:
        return None
    return line_chart(
        "canary",
        known,
        x_axis="round",
        y_axis="milliseconds",
        title="The canary before and after every round",
        height=190,
        zero=False,
    )


def _table(rounds: list[RoundResult]) -> ReportTable:
    there = {name for each in rounds for name in (*each.before.values, *each.after.values)}
    names = [name for name in (*_UNITS, *sorted(there - _UNITS.keys())) if name in there]
    columns = [
        TableColumn("round", number=True),
        TableColumn("canary ms", number=True),
        *(TableColumn(_UNITS.get(name, (name, 1.0, ""))[0], number=True) for name in names),
        TableColumn("changes", long=True),
        TableColumn("flagged", long=True),
    ]
    rows = [
        TableRow(
            [
                Field(str(each.round + 1), each.round),
                _pair(each.canary_before_s, each.canary_after_s, 1000.0, ".1f"),
                *(
                    _pair(each.before.values.get(name), each.after.values.get(name), factor, form)
                    for name in names
                    for _, factor, form in (_UNITS.get(name, (name, 1.0, "")),)
                ),
                "; ".join(each.changes) or MISSING,
                _mark(each),
            ]
        )
        for each in rounds
    ]
    return ReportTable(columns, [rows], caption="Before → after each round")


def _mark(each: RoundResult) -> str:
    if not each.flagged:
        return MISSING
    again = "" if each.replaced_by is None else f"; retaken as round {each.replaced_by + 1}"
    cooled = "" if each.cooled_s is None else f"; waited {each.cooled_s:.0f} s afterwards"
    return f"{each.flagged}{again}{cooled}"


def _pair(before: object, after: object, factor: float, form: str) -> Field:
    """Both values; only one if they are equal."""
    first, second = _value(before, factor, form), _value(after, factor, form)
    sort_by = before if isinstance(before, int | float) else first
    if first == second:
        return Field(first, sort_by)
    return Field(f"{first} → {second}", sort_by)


def _value(value: object, factor: float, form: str) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return format(value * factor, form or "g")
    return str(value) or "none"


def _reasons(rounds: list[RoundResult]) -> Iterator[tuple[str, str]]:
    for each in rounds:
        for value_of in (each.before, each.after):
            yield from value_of.unknown.items()
