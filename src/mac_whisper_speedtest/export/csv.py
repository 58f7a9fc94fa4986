"""Tables as CSV and TSV, without texts that a spreadsheet would run as formulas."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Sequence
from typing import IO

from mac_whisper_speedtest.printable import without_control
from mac_whisper_speedtest.results.columns import FlatColumn, Value

_SEPARATOR = "; "
"""Between the texts of a list."""

# What a spreadsheet may run as a formula (OWASP, "CSV Injection"), also with full-width signs, a
# line feed, or white space in front. A text that already has apostrophes in front gets one more, so
# that removing one from every such text restores the original.
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")

_TSV_ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}


def write_csv(
    columns: Sequence[FlatColumn], rows: Iterable[Sequence[Value]], stream: IO[bytes]
) -> None:
    """RFC 4180 in UTF-8 with a header line; an unknown value is an empty field."""
    writer = csv.writer(codecs.getwriter("utf-8")(stream))
    writer.writerow(column.name for column in columns)
    for values in rows:
        writer.writerow(map(_field, values))


def write_tsv(
    columns: Sequence[FlatColumn], rows: Iterable[Sequence[Value]], stream: IO[bytes]
) -> None:
    r"""One line per row, without quotes.

    A tab, a line feed, a carriage return and a backslash in a text are written as ``\t``, ``\n``,
    ``\r`` and ``\\``.
    """
    stream.write("\t".join(column.name for column in columns).encode() + b"\n")
    for values in rows:
        fields = (_field(value).translate(_TSV_ESCAPES) for value in values)
        stream.write("\t".join(fields).encode() + b"\n")


def value_text(value: Value) -> str:
    """A value as text; empty if it is unknown."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _SEPARATOR.join(value) if isinstance(value, list) else str(value)


def _field(value: Value) -> str:
    """A value as text; a formula gets an apostrophe in front."""
    text = without_control(value_text(value))
    return f"'{text}" if isinstance(value, str | list) and _FORMULA.match(text) else text
