"""Tables for people: Markdown and one static HTML page. Nothing in a text can become markup."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable
from typing import IO

from mac_whisper_speedtest.export.csv import BETWEEN
from mac_whisper_speedtest.export.tables import Table
from mac_whisper_speedtest.printable import printable, printable_line
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn, Kind, Value

_NUMBERS = frozenset({Kind.INTEGER, Kind.NUMBER})
_STYLE = """
:root { color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #8886; padding: .2em .5em; text-align: left; vertical-align: top; }
th { background: Canvas; position: sticky; top: 0; }
.n { text-align: right; white-space: nowrap; }
"""
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!])")


def write_markdown(table: Table, runs: Iterable[s.Run], stream: IO[bytes]) -> None:
    """A table of GitHub's Markdown, with the columns for people; other numbers to four digits."""
    brief = table.brief()
    stream.write(_row(column.name for column in brief.columns))
    stream.write(_row("---:" if each.kind in _NUMBERS else "---" for each in brief.columns))
    for values in brief.values(runs):
        stream.write(_row(map(_in_markdown, values)))


def write_html(table: Table, runs: Iterable[s.Run], stream: IO[bytes]) -> None:
    """One page with every column, as it is: no script, nothing fetched."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = "".join(_heading(column) for column in table.columns)
    stream.write(
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>speedtest: {html.escape(table.name)}</title><style>{_STYLE}</style></head>\n"
        f"<body><table><thead><tr>{head}</tr></thead><tbody>\n".encode()
    )
    numeric = [column.kind in _NUMBERS for column in table.columns]
    for values in table.values(runs):
        cells = (_cell(value, right) for value, right in zip(values, numeric, strict=True))
        stream.write(f"<tr>{''.join(cells)}</tr>\n".encode())
    stream.write(b"</tbody></table></body></html>\n")


def _row(cells: Iterable[str]) -> bytes:
    return f"| {' | '.join(cells)} |\n".encode()


def _text(value: Value) -> str:
    """A value in words; empty where it is not known."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return BETWEEN.join(value)
    return str(value)


def _in_markdown(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    line = printable_line(_text(value))
    return html.escape(_MARKDOWN.sub(r"\\\1", line), quote=False)


def _heading(column: FlatColumn) -> str:
    meaning = f"{column.meaning} ({column.unit})" if column.unit else column.meaning
    return f'<th title="{html.escape(meaning)}">{html.escape(column.name)}</th>'


def _cell(value: Value, right: bool) -> str:
    text = html.escape(printable(_text(value)))
    return f'<td class="n">{text}</td>' if right else f"<td>{text}</td>"
