"""How tables look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.report.tables import Field, ReportTable

_ANY_WIDTH = 1000
_STYLES = {"good": "green", "warn": "yellow", "bad": "red"}


def plain_table(title: str) -> Table:
    """A table without columns yet, with a rule under its head only."""
    return Table(
        title=Text(title) if title else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )


def drawn(table: ReportTable, *, title: str | None = None) -> Table:
    """A table as it is printed, with a line between its bodies; by default its caption on top."""
    made = plain_table(table.caption if title is None else title)
    for column in table.columns:
        made.add_column(
            printable_line(column.heading),
            justify="right" if column.number else "left",
            overflow="fold",
            no_wrap=column.number,
        )
    for number, body in enumerate(table.bodies):
        if number:
            made.add_section()
        for row in body:
            made.add_row(*(_text(field) for _, field in table.fields(row)))
    return made


def _text(field: Field) -> Text:
    style = "yellow" if field.class_ == "other" else _STYLES.get(field.badge, "")
    text = Text(printable_line(field.shown), style=style)
    if field.interval:
        text.append(f" ({field.interval})")
    if field.note and not field.missing:
        text.append(f" ({printable_line(field.note)})", style="yellow")
    return text


def fitted(table: ReportTable, console: TextConsole, *, naming: int = 1) -> Iterator[Table]:
    """All columns, split over as many tables as the console's width requires.

    Args:
        table: what is shown.
        console: where.
        naming: how many of its first columns begin every table.
    """
    head = list(range(naming))
    chosen = list(head)
    title: str | None = None
    for at in range(naming, len(table.columns)):
        wider = drawn(table.with_columns([*chosen, at]), title="")
        natural = console.measure(wider, options=console.options.update_width(_ANY_WIDTH)).maximum
        if natural > console.width and len(chosen) > naming:
            yield drawn(table.with_columns(chosen), title=title)
            chosen, title = list(head), ""
        chosen.append(at)
    yield drawn(table.with_columns(chosen), title=title)
