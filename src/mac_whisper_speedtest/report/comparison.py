"""A comparison of two runs on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.report import compared_rows as rows

_LEFT = {"backend", "speed", "accuracy"}
_PIPE_WIDTH = 200


def show(compared: Compared, *, console: Console | None = None) -> None:
    """Print a comparison to a terminal (or a pipe, then wide and without colour)."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_PIPE_WIDTH)
    for part in _parts(compared):
        console.print(part)


def text(compared: Compared) -> str:
    """The same as plain text, for a file."""
    import io

    written = io.StringIO()
    show(compared, console=Console(file=written, width=_PIPE_WIDTH, color_system=None))
    return written.getvalue()


def _parts(compared: Compared) -> Iterator[RenderableType]:
    yield Text(rows.title(compared), style="bold")
    for heading, found in rows.tables(compared).items():
        table = Table(
            title=heading,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            pad_edge=False,
        )
        for name in rows.HEADINGS:
            table.add_column(name, justify="left" if name in _LEFT else "right", overflow="fold")
        for row in found:
            table.add_row(*map(_coloured, row))
        yield table
    yield _side_by_side(compared)
    yield Text("\n".join(f"  {line}" for line in rows.notes(compared)))
    for line in rows.outcome(compared):
        yield Text(line, style="bold red" if compared.regressions else "bold")


def _side_by_side(compared: Compared) -> Table:
    table = Table(
        title="What else was measured with",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    for name in ("condition", "base", "new", ""):
        table.add_column(name, overflow="fold")
    for row in rows.conditions(compared):
        table.add_row(*map(Text, row), style="yellow" if row[-1] else "")
    return table


def _coloured(cell: str) -> Text:
    word = cell.rpartition(" ")[2]
    if cell in rows.BAD or word in rows.BAD:
        return Text(cell, style="red")
    if cell in rows.GOOD or word in rows.GOOD:
        return Text(cell, style="green")
    return Text(cell)
