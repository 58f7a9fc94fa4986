"""One cell over many runs, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from mac_whisper_speedtest.compare.document import History, LastingChange, Point, Series
from mac_whisper_speedtest.report.console import TextConsole, output_console
from mac_whisper_speedtest.report.tables import Field, ReportTable, TableColumn, TableRow
from mac_whisper_speedtest.report.terminal import lines, most_important, not_shown
from mac_whisper_speedtest.results.cells import (
    MISSING,
    counted,
    error_rate_text,
    interval_text,
    number_text,
    speed_form,
)
from mac_whisper_speedtest.results.memory import headed

_MIN_POINTS = 8
"""Runs, four before a change and four after: fewer look like a change too often by chance."""


def show_history(history: History, *, console: TextConsole | None = None) -> None:
    """Print every series, its oldest run first."""
    console = output_console(console)
    for part in _parts(history, console):
        console.print(part)


def _parts(history: History, console: TextConsole) -> Iterator[RenderableType]:
    if not history.series:
        yield Text("No run has measured it without a failure.")
    left_out: list[str] = []
    for series in history.series:
        shown = most_important(_table(series), console, least=_BRIEF)
        yield from shown.parts
        left_out += shown.left_out
        yield lines(_lines(series), console)
    if line := not_shown(left_out, "add --json", console):
        yield line
    if history.left_out:
        cells = counted(history.left_out, "cell")
        yield Text(f"{cells} left out: failed, or measured twice in a run.", style="dim")


_COLUMNS = ("run", "started", "version", "RTFx", "change", "WER", "peak MB", "rounds", "tool")
_BRIEF = 5
"""Columns that every terminal shows."""
_LEFT = {"started", "version", "tool", "change"}


def _table(series: Series) -> ReportTable:
    """The runs in order; a lasting change begins a new body."""
    changes = {each.run: each for each in series.changes}
    bodies: list[list[TableRow]] = [[]]
    kinds = {point.peak_memory_kind for point in series.points}
    for point in series.points:
        change = changes.get(point.run)
        if change is not None and bodies[-1]:
            bodies.append([])
        bodies[-1].append(TableRow(list(_row(point, change))))
    return ReportTable(
        [TableColumn(headed(name, kinds), number=name not in _LEFT) for name in _COLUMNS],
        bodies,
        caption=f"{series.backend} {series.model} on {series.clip}, contract {series.contract}, "
        f"{series.settings}; {series.hardware}",
    )


def _row(point: Point, change: LastingChange | None) -> Iterator[str | Field]:
    yield f"{point.run}" + (f" ({', '.join(point.tags)})" if point.tags else "")
    yield point.started_at.replace("T", " ")[:16]  # to the minute
    yield point.backend_version or MISSING
    yield interval_text(point.rtfx, point.rtfx_low, point.rtfx_high, speed_form(point.rtfx))
    yield _marked(change)
    yield error_rate_text(point.wer, "wer", point.wer_low, point.wer_high)
    yield number_text(point.peak_memory_bytes, ".0f", 1e-6)
    yield f"{point.rounds}"
    yield point.tool


def _marked(change: LastingChange | None) -> Field:
    if change is None:
        return Field("")
    badge = "bad" if change.verdict == "SLOWER" else "good"
    return Field(f"{change.verdict} × {change.ratio.estimate:.3f}", badge=badge)


def _lines(series: Series) -> Iterator[str]:
    for each in series.changes:
        yield (
            f"From run {each.run} on {each.verdict}: takes {each.ratio.estimate:.3f} times as long "
            f"as before ({each.ratio.low:.3f}–{each.ratio.high:.3f}), p = {each.p:.3f}"
        )
        for fact in each.facts:
            yield f"{fact.name}: {fact.base or MISSING} → {fact.new or MISSING}"
        if not each.facts:
            yield "nothing else that is recorded changed between the two runs"
    if not series.changes:
        runs = counted(len(series.points), "run")
        yield (
            f"No lasting change of more than {series.margin:.1%} in {runs}."
            if len(series.points) >= _MIN_POINTS
            else f"Lasting changes need at least {_MIN_POINTS} runs; found {runs}."
        )
