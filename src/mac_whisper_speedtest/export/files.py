"""Writes runs as JSON (everything) or as tables in several formats."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export import csv, markup, parquet
from mac_whisper_speedtest.export.tables import CELLS, Table
from mac_whisper_speedtest.printable import escaped_json
from mac_whisper_speedtest.results.directory import pretty
from mac_whisper_speedtest.results.schema import Run

JSON, PARQUET = "json", "parquet"

_IN_MEMORY = 1 << 26
"""Bytes for a stream that are buffered in memory; more are buffered on disk."""


def to_json(run: Run) -> str:
    """The whole run, equal to ``run.json``."""
    return pretty(run).decode()


def to_csv(run: Run) -> str:
    """The run's table of cells as CSV."""
    out = io.BytesIO()
    _write_csv(CELLS, [run], out)
    return out.getvalue().decode()


def _document(run: Run) -> bytes:
    return escaped_json(pretty(run).decode()).encode()


def _write_json(_table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    """One run as ``run.json``, several as an array."""
    several = iter(runs)
    documents = [_document(each) for _, each in zip(range(2), several, strict=False)]
    if len(documents) == 1:
        stream.write(documents[0])
        return
    stream.write(b"[\n" + b",\n".join(each.rstrip() for each in documents))
    for each in several:
        stream.write(b",\n" + _document(each).rstrip())
    stream.write(b"\n]\n")


def _write_jsonl(table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    """One object with every column per row and line; unknown values are null."""
    encoder = msgspec.json.Encoder()
    for record in table.records(runs):
        stream.write(escaped_json(encoder.encode(record).decode()).encode() + b"\n")


def _write_csv(table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    """RFC 4180 in UTF-8 with a header line; control characters become U+FFFD."""
    csv.write_csv(table.columns, table.values(runs), stream)


def _write_tsv(table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    r"""One line per row without quotes, a header line first; escapes are ``\t \n \r \\``."""
    csv.write_tsv(table.columns, table.values(runs), stream)


Write = Callable[[Table, Iterable[Run], IO[bytes]], None]

FORMATS: Mapping[str, Write] = MappingProxyType(
    {
        JSON: _write_json,
        "jsonl": _write_jsonl,
        "csv": _write_csv,
        "tsv": _write_tsv,
        PARQUET: parquet.write_parquet,
        "md": markup.write_markdown,
        "html": markup.write_html,
    }
)
"""Name, which is also the suffix of a file → its writer."""

_SPREADSHEETS = ("xlsx", "xls", "ods", "numbers")


def format_of(path: Path) -> str:
    """The format that the suffix of ``path`` names.

    Raises:
        UsageError: it names no known format.
    """
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        instead = "; spreadsheets open .csv" if name in _SPREADSHEETS else ""
        raise UsageError(
            f"cannot write {path}: unknown suffix {path.suffix!r}",
            hint=f"use one of {', '.join(f'.{each}' for each in FORMATS)}{instead}",
        )
    return name


def check_format(name: str, table: str = CELLS.name) -> None:
    """Make sure that a table can be written in the format ``name``.

    Raises:
        UsageError: Parquet without pyarrow, or JSON of a table other than ``cells``.
    """
    if name == PARQUET:
        parquet.check_installed()
    if name == JSON and table != CELLS.name:
        raise UsageError(
            f"json contains whole runs, not a table of {table}",
            hint="for one object per row: --format jsonl",
        )


def check_path(path: Path) -> None:
    """Make sure that a file can be written at ``path``; folders that are missing will be created.

    Raises:
        UsageError: it cannot.
    """
    hint = "name a file in a folder that you may write to"
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=hint)
    try:
        with tempfile.TemporaryFile(dir=next(each for each in path.parents if each.exists())):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint=hint) from error
    if path.exists() and not os.access(path, os.W_OK):
        raise UsageError(f"cannot write {path}: Permission denied", hint=hint)


def check_writable(path: Path) -> None:
    """Make sure, before anything is measured, that ``path`` can be written.

    Raises:
        UsageError: an unknown suffix, a format that needs a missing library, or an unwritable path.
    """
    check_format(format_of(path))
    check_path(path)


def write_export(run: Run, path: Path) -> None:
    """Write the run in the format that the suffix of ``path`` names.

    Raises:
        UsageError: an unknown suffix, or Parquet without pyarrow.
        StorageError: the file could not be written.
    """
    save([run], path, format_of(path), CELLS)


def save(runs: Iterable[Run], path: Path, name: str, table: Table) -> None:
    """Write runs as one file, completely or not at all.

    Args:
        runs: with summaries; iterated once.
        path: the file.
        name: the format.
        table: ignored for JSON, which contains whole runs.

    Raises:
        UsageError: see :func:`check_format`.
        StorageError: the file could not be written.
    """
    check_format(name, table.name)
    with files.replacing(path) as stream:
        FORMATS[name](table, runs, stream)


def send(runs: Iterable[Run], stream: IO[bytes], name: str, table: Table) -> None:
    """Write runs to a stream, such as stdout, once all of the output is ready.

    Args:
        runs: with summaries; iterated once.
        stream: receives the output.
        name: the format.
        table: ignored for JSON, which contains whole runs.

    Raises:
        UsageError: see :func:`check_format`.
    """
    check_format(name, table.name)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as whole:
        FORMATS[name](table, runs, whole)
        whole.seek(0)
        shutil.copyfileobj(whole, stream)
        stream.flush()
