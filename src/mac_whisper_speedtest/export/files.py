"""Writing runs for other programs: JSON (everything), and tables in several formats.

The formats and columns are documented in docs/results.md; ``schema_version`` is in all of them.
"""

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
from mac_whisper_speedtest.results.directory import pretty
from mac_whisper_speedtest.results.schema import Run

JSON, PARQUET = "json", "parquet"

_IN_MEMORY = 1 << 26
"""Bytes to a stream above which they wait on the disk."""


def to_json(run: Run) -> str:
    """The whole run, exactly as ``run.json``."""
    return pretty(run).decode()


def to_csv(run: Run) -> str:
    """The run's table of cells as CSV."""
    out = io.BytesIO()
    _write_csv(CELLS, [run], out)
    return out.getvalue().decode()


def _write_json(_table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    """One run as ``run.json``; several as an array of these."""
    several = iter(runs)
    documents = [pretty(each) for _, each in zip(range(2), several, strict=False)]
    if len(documents) == 1:
        stream.write(documents[0])
        return
    stream.write(b"[\n" + b",\n".join(each.rstrip() for each in documents))
    for each in several:
        stream.write(b",\n" + pretty(each).rstrip())
    stream.write(b"\n]\n")


def _write_jsonl(table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    """One object per row and line: every column, null where it is not known."""
    encoder = msgspec.json.Encoder()
    for record in table.records(runs):
        stream.write(encoder.encode(record) + b"\n")


def _write_csv(table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
    csv.write_csv(table.columns, table.values(runs), stream)


def _write_tsv(table: Table, runs: Iterable[Run], stream: IO[bytes]) -> None:
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
"""Name, which is also the ending of a file → what writes it."""


def format_of(path: Path) -> str:
    """The format that the ending of ``path`` names.

    Raises:
        UsageError: it names none.
    """
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise UsageError(
            f"cannot write {path}: unknown ending {path.suffix!r}",
            hint=f"use one of {', '.join(f'.{each}' for each in FORMATS)}",
        )
    return name


def check_format(name: str, table: str = CELLS.name) -> None:
    """Find out beforehand whether ``name`` can be written here.

    Args:
        name: a format.
        table: the name of a table.

    Raises:
        UsageError: Parquet without pyarrow, or JSON of anything but whole runs.
    """
    if name == PARQUET:
        parquet.check_installed()
    if name == JSON and table != CELLS.name:
        raise UsageError(
            f"json holds whole runs, not a table of {table}",
            hint="for one object per row: --format jsonl",
        )


def check_place(path: Path) -> None:
    """Find out beforehand whether a file can be written there.

    Raises:
        UsageError: it cannot.
    """
    hint = "name a file in a folder that exists and that you may write to"
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=hint)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint=hint) from error
    if path.exists() and not os.access(path, os.W_OK):
        raise UsageError(f"cannot write {path}: Permission denied", hint=hint)


def check_writable(path: Path) -> None:
    """Find out before anything is measured whether ``path`` can be written.

    Raises:
        UsageError: an unknown ending, a format that cannot be written here, or a place that cannot.
    """
    check_format(format_of(path))
    check_place(path)


def write_export(run: Run, path: Path) -> None:
    """Write the run in the format that the ending of ``path`` names.

    Raises:
        UsageError: an unknown ending, or Parquet without pyarrow.
        StorageError: the file could not be written.
    """
    save([run], path, format_of(path), CELLS)


def save(runs: Iterable[Run], path: Path, name: str, table: Table) -> None:
    """Write runs as one file, which is either whole or as it was before.

    Args:
        runs: with summaries; asked for one after the other.
        path: where to.
        name: the format.
        table: of what; JSON has whole runs instead.

    Raises:
        UsageError: see :func:`check_format`, and what making ``runs`` raises.
        StorageError: the file could not be written.
    """
    check_format(name, table.name)
    with files.replacing(path) as stream:
        FORMATS[name](table, runs, stream)


def send(runs: Iterable[Run], stream: IO[bytes], name: str, table: Table) -> None:
    """Write runs to a stream, such as stdout, once everything is there: no half of a table.

    Args:
        runs: as for :func:`save`.
        stream: where to.
        name: the format.
        table: likewise.

    Raises:
        UsageError: see :func:`save`.
    """
    check_format(name, table.name)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as whole:
        FORMATS[name](table, runs, whole)
        whole.seek(0)
        shutil.copyfileobj(whole, stream)
        stream.flush()
