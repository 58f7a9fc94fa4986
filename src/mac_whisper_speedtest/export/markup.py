"""Tables as Markdown and as one static HTML page, with every text escaped."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from typing import IO

from mac_whisper_speedtest.export.csv import value_text
from mac_whisper_speedtest.export.tables import Table
from mac_whisper_speedtest.printable import clipped, printable, printable_line
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import LONGEST_FIELD
from mac_whisper_speedtest.results.columns import Kind, Value

_NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER})
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!])")


def write_markdown(table: Table, runs: Iterable[s.Run], stream: IO[bytes]) -> None:
    """A table in GitHub's Markdown with the brief columns, as reports show them."""
    brief = table.brief()
    stream.write(_row(column.name for column in brief.columns))
    stream.write(_row("---:" if each.kind in _NUMBERS else "---" for each in brief.columns))
    for values in brief.values(runs):
        stream.write(_row(map(_in_markdown, values)))


def write_html(table: Table, runs: Iterable[s.Run], stream: IO[bytes]) -> None:
    """One page with every column, without a script or a request."""
    from jinja2 import Environment, PackageLoader

    pages = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    style = pages.get_template("table.css").render()
    numeric = [column.kind in _NUMBERS for column in table.columns]
    texts = (map(printable, map(value_text, row)) for row in table.values(runs))
    pieces = pages.get_template("table.html").generate(
        digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        style=style,
        name=table.name,
        columns=table.columns,
        rows=(zip(row, numeric, strict=True) for row in texts),
    )
    stream.writelines(piece.encode() for piece in pieces)


def _row(cells: Iterable[str]) -> bytes:
    return f"| {' | '.join(cells)} |\n".encode()


def brief_text(value: Value) -> str:
    """A value as text, with four significant digits; of a long text the beginning."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return clipped(value_text(value), LONGEST_FIELD)


def _in_markdown(value: Value) -> str:
    line = printable_line(brief_text(value))
    return html.escape(_MARKDOWN.sub(r"\\\1", line), quote=False)
