"""What all reports on a terminal share: the width of a pipe, and the style of tables."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 200
"""Characters per line where the output is not a terminal."""


def output_console(console: Console | None) -> Console:
    """``console`` if given, else stdout: a terminal as it is, a pipe wide and without color."""
    if console is not None:
        return console
    stdout = Console()
    return stdout if stdout.is_terminal else Console(width=PIPE_WIDTH)


def plain_table(title: str) -> Table:
    """A table without columns yet, with a rule under its head only."""
    return Table(
        title=Text(title) if title else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
