"""Tables as CSV and TSV, in a form that no spreadsheet takes for formulas."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Sequence
from typing import IO

from mac_whisper_speedtest.results.columns import FlatColumn, Value

BETWEEN = "; "
"""Joins the texts of a list."""

# OWASP, "CSV Injection": what a spreadsheet may run, with the full-width signs and the line feed.
# White space before it is skipped by some programs. A text that has apostrophes before it already
# gets one more, so that taking one away from every such text gives back what was there.
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")

_TSV_ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}


def write_csv(
    columns: Sequence[FlatColumn], rows: Iterable[Sequence[Value]], stream: IO[bytes]
) -> None:
    """RFC 4180 in UTF-8, a header line first; what is not known is an empty field."""
    writer = csv.writer(codecs.getwriter("utf-8")(stream))
    writer.writerow(column.name for column in columns)
    for values in rows:
        writer.writerow(map(_field, values))


def write_tsv(
    columns: Sequence[FlatColumn], rows: Iterable[Sequence[Value]], stream: IO[bytes]
) -> None:
    r"""One line per row, whatever is in it, and no quotes.

    A tab, a line feed, a carriage return and a backslash in a text are written as ``\t``, ``\n``,
    ``\r`` and ``\\``.
    """
    stream.write("\t".join(column.name for column in columns).encode() + b"\n")
    for values in rows:
        fields = (_field(value).translate(_TSV_ESCAPES) for value in values)
        stream.write("\t".join(fields).encode() + b"\n")


def _field(value: Value) -> str:
    """A value's text; one that a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else BETWEEN.join(value)
    return f"'{text}" if _FORMULA.match(text) else text
