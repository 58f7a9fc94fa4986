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
    """A table in GitHub's Markdown, with the brief columns and :func:`brief_text`."""
    brief = table.brief()
    stream.write(_row(column.name for column in brief.columns))
    stream.write(_row("---:" if each.kind in _NUMBERS else "---" for each in brief.columns))
    for values in brief.values(runs):
        stream.write(_row(map(_in_markdown, values)))


def write_html(table: Table, runs: Iterable[s.Run], stream: IO[bytes]) -> None:
    """One page with every column, without a script or a request."""
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


def brief_text(value: Value) -> str:
    """A value as text, with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def _in_markdown(value: Value) -> str:
    line = printable_line(brief_text(value))
    return html.escape(_MARKDOWN.sub(r"\\\1", line), quote=False)


def _heading(column: FlatColumn) -> str:
    meaning = f"{column.meaning} ({column.unit})" if column.unit else column.meaning
    return f'<th title="{html.escape(meaning)}">{html.escape(column.name)}</th>'


def _cell(value: Value, right: bool) -> str:
    text = html.escape(printable(value_text(value)))
    return f'<td class="n">{text}</td>' if right else f"<td>{text}</td>"
