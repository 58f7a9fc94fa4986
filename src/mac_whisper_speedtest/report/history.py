"""One cell over many runs, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.compare.document import History, LastingChange, Point, Series
from mac_whisper_speedtest.printable import clipped, printable_line
from mac_whisper_speedtest.report.console import TextConsole, output_console
from mac_whisper_speedtest.report.terminal import plain_table
from mac_whisper_speedtest.results.cells import (
    LONGEST_FIELD,
    MISSING,
    counted,
    error_rate_text,
    interval_text,
    number_text,
)

_MIN_POINTS = 8
"""Runs, four before a change and four after: fewer look like a change too often by chance."""


def show_history(history: History, *, console: TextConsole | None = None) -> None:
    """Print every series, its oldest run first."""
    console = output_console(console)
    for part in _parts(history):
        console.print(part)


def _parts(history: History) -> Iterator[RenderableType]:
    if not history.series:
        yield Text("No run of it ended ok.")
    for series in history.series:
        yield _table(series)
        yield Text("\n".join(f"  {line}" for line in _lines(series)))
    if history.left_out:
        cells = counted(history.left_out, "cell")
        yield Text(f"{cells} left out: not ok, or measured twice in a run.", style="dim")


def _table(series: Series) -> Table:
    table = plain_table(
        f"{series.backend} {series.model} on {series.clip}, contract {series.contract}, "
        f"{series.settings}; {series.hardware}"
    )
    columns = ("run", "started", "version", "tool", "rounds", "RTFx", "WER", "peak MB", "change")
    left = {"started", "version", "tool", "change"}
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    changes = {each.run: each for each in series.changes}
    for point in series.points:
        change = changes.get(point.run)
        if change is not None:
            table.add_section()
        table.add_row(
            *(printable_line(clipped(each, LONGEST_FIELD)) for each in _row(point)), _marked(change)
        )
    return table


def _row(point: Point) -> Iterator[str]:
    yield f"{point.run}" + (f" ({', '.join(point.tags)})" if point.tags else "")
    yield point.started_at
    yield point.backend_version or MISSING
    yield point.tool
    yield f"{point.rounds}"
    yield interval_text(point.rtfx, point.rtfx_low, point.rtfx_high, ".2f")
    yield error_rate_text(point.wer, "wer", point.wer_low, point.wer_high)
    yield number_text(point.peak_rss_bytes, ".0f", 1e-6)


def _marked(change: LastingChange | None) -> Text:
    if change is None:
        return Text("")
    style = "red" if change.verdict == "SLOWER" else "green"
    return Text(f"{change.verdict} × {change.ratio.estimate:.3f}", style=style)


def _lines(series: Series) -> Iterator[str]:
    for each in series.changes:
        yield (
            f"From run {each.run} on {each.verdict}: {each.ratio.estimate:.3f} times the time "
            f"before ({each.ratio.low:.3f}–{each.ratio.high:.3f}), p = {each.p:.3f}"
        )
        for fact in each.facts:
            yield f"    {fact.name}: {fact.base or MISSING} → {fact.new or MISSING}"
        if not each.facts:
            yield "    no recorded fact differs"
    if not series.changes:
        runs = counted(len(series.points), "run")
        yield (
            f"No lasting change of more than {series.margin:.1%} in {runs}."
            if len(series.points) >= _MIN_POINTS
            else f"Lasting changes need at least {_MIN_POINTS} runs; found {runs}."
        )
