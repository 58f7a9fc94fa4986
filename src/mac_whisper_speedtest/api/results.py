"""A run for notebooks and scripts: its figures as rows, data frames, files and pages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mac_whisper_speedtest import files as durable
from mac_whisper_speedtest.compare import sources
from mac_whisper_speedtest.compare.sources import Source
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export import files, frames, tables
from mac_whisper_speedtest.export.columns import Value
from mac_whisper_speedtest.export.tables import Table
from mac_whisper_speedtest.leaderboard import notebook
from mac_whisper_speedtest.results import journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary.counting import counted
from mac_whisper_speedtest.timeline import export, timeline
from mac_whisper_speedtest.timeline.timeline import Timeline

if TYPE_CHECKING:
    import pandas
    import polars

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Results:
    """A run, with every figure computed again from its samples.

    Attributes:
        source: the run and where it lies.
    """

    source: Source

    @property
    def run(self) -> s.Run:
        """Everything, as docs/results.md describes it."""
        return self.source.run

    @property
    def cells(self) -> list[s.CellResult]:
        """The run's cells; ``summary`` of each has its figures."""
        return self.source.run.cells

    @property
    def number(self) -> int:
        """The run's number on the machine that made it."""
        return self.run.manifest.run

    @property
    def path(self) -> Path | None:
        """The run's directory; ``None`` for a bundle."""
        return self.source.directory.path if self.source.directory is not None else None

    def to_rows(self, table: str = "cells", *, text: bool = False) -> list[dict[str, Value]]:
        """A table as one dictionary per row, with the columns of ``speedtest export``.

        Args:
            table: ``cells``, ``samples`` or ``utterances``.
            text: with ``samples``: the transcripts too.

        Raises:
            UsageError: there is no such table.
        """
        return list(_table(table, text=text).records([self.run]))

    def to_pandas(self, table: str = "cells", *, text: bool = False) -> pandas.DataFrame:
        """The same as a pandas data frame. Raises UsageError, also where there is no pandas."""
        return frames.to_pandas(_table(table, text=text), [self.run])

    def to_polars(self, table: str = "cells", *, text: bool = False) -> polars.DataFrame:
        """The same as a polars data frame. Raises UsageError, also where there is no polars."""
        return frames.to_polars(_table(table, text=text), [self.run])

    def export(self, path: StrPath, table: str = "cells", *, text: bool = False) -> Path:
        """Write a table, or with ``.json`` the whole run, in the format that the ending names.

        Raises:
            UsageError: the ending names no format, or JSON of anything but whole runs.
            StorageError: the file could not be written.
        """
        target = Path(path)
        files.save([self.run], target, files.format_of(target), _table(table, text=text))
        return target

    def report(self, path: StrPath) -> Path:
        """Write the run as one HTML page that needs no network. Raises StorageError."""
        from mac_whisper_speedtest.report.html.report import report

        durable.write_bytes(Path(path), report(self.run, label=self.source.label).encode())
        return Path(path)

    def timeline(self) -> Timeline:
        """The run as spans of time. Raises StorageError where its journal cannot be read."""
        found = self.source.directory
        events = journal.read_timed(found.journal_path) if found is not None else None
        return timeline.of(self.run, events)

    def trace(self, path: StrPath) -> Path:
        """Write the timeline as Chrome trace JSON, for Perfetto. Raises StorageError."""
        durable.write_bytes(Path(path), export.to_json(self.timeline()))
        return Path(path)

    def __repr__(self) -> str:
        statuses = [cell.status for cell in self.cells]
        return f"<Results of run {self.source.label}: {statuses.count('ok')} of {len(statuses)} ok>"

    def _repr_html_(self) -> str:
        return notebook.of_run(self.run, self.source.label)


def load(name: StrPath | int = "latest") -> Results:
    """A run: its number, a tag, a run id, ``latest``, or the path of a directory or a bundle.

    Raises:
        UsageError: there is no such run, or the bundle is not to be trusted.
        StorageError: its files are missing or damaged.
    """
    return Results(sources.load(str(name)))


def _table(name: str, *, text: bool) -> Table:
    known = {
        "cells": tables.CELLS,
        "samples": tables.samples(counted, text=text),
        "utterances": tables.UTTERANCES,
    }
    if name not in known:
        raise UsageError(f"there is no table {name!r}", hint=f"say one of {', '.join(known)}")
    return known[name]
