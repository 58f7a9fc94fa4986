"""``speedtest export``: runs as JSON, or as tables for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mac_whisper_speedtest.results.schema import Run

# As in results/export.py and results/tables.py, which --help does not import.
FORMATS = ("json", "jsonl", "csv", "tsv", "parquet", "md", "html")
TABLES = ("cells", "samples", "utterances")


@click.command("export")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--format", "-f", "name", type=click.Choice(FORMATS), help="Default: by the ending of -o."
)
@click.option(
    "--table",
    type=click.Choice(TABLES),
    default="cells",
    show_default=True,
    help="What a row is: a cell, a sample, or a recording with its errors.",
)
@click.option("--text", is_flag=True, help="With --table samples: the transcripts too.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="The file to write.  [default: stdout]"
)
def command(
    runs: tuple[str, ...],
    name: str | None,
    table: str,
    text: bool,
    output: Path | None,
) -> None:
    """Write RUNs for other programs: a number, a path, a tag, a run id, "latest" or a bundle.

    Every figure is computed again from the samples. json is the whole run as run.json, of several
    runs a list of these; every other format is one table. docs/results.md describes the columns.

    \b
    speedtest export latest -o cells.csv
    speedtest export 3 4 5 --table samples -o samples.parquet
    speedtest export base --format md

    Exit codes: 0 written; 2 the request was wrong; 5 a run cannot be read or the file not be
    written.
    """
    import sys

    from mac_whisper_speedtest.errors import UsageError
    from mac_whisper_speedtest.export import files, tables
    from mac_whisper_speedtest.summary.counting import counted

    if text and table != "samples":
        raise UsageError("--text is for --table samples", hint="add --table samples")
    if name is None:
        if output is None:
            raise UsageError("no format was named", hint="add --format csv, or -o FILE.csv")
        name = files.format_of(output)
    chosen = {
        "cells": tables.CELLS,
        "samples": tables.samples(counted, text=text),
        "utterances": tables.UTTERANCES,
    }[table]
    files.check_format(name, table)
    if output is not None:
        files.check_place(output)
        files.save(_loaded(runs), output, name, chosen)
        return
    if name == files.PARQUET and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", hint="add -o FILE.parquet")
    files.send(_loaded(runs), sys.stdout.buffer, name, chosen)


def _loaded(names: tuple[str, ...]) -> Iterator[Run]:
    """The runs, one after the other, each with its figures.

    Raises:
        UsageError: there is no such run, or one is there twice.
        StorageError: it cannot be read.
    """
    from mac_whisper_speedtest.compare import sources
    from mac_whisper_speedtest.errors import UsageError

    seen: dict[str, str] = {}
    for name in names:
        run = sources.load(name).run
        same = sources.identity(run.manifest)
        if same in seen:
            raise UsageError(
                f"{seen[same]} and {name} are the same run", hint="name every run only once"
            )
        seen[same] = name
        yield run
