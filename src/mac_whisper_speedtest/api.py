"""The Python interface; docs/guide/python.md has examples."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest import files as file_io
from mac_whisper_speedtest import request
from mac_whisper_speedtest.compare import compare as comparing
from mac_whisper_speedtest.compare import fail_on as gates
from mac_whisper_speedtest.compare import sources
from mac_whisper_speedtest.compare.document import CellChange, Compared
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.option import OneOf, Share
from mac_whisper_speedtest.report import comparison_markdown
from mac_whisper_speedtest.report.html import notebook
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import Value
from mac_whisper_speedtest.run import session
from mac_whisper_speedtest.timeline import export, timeline
from mac_whisper_speedtest.timeline.timeline import Timeline

__all__ = ["Comparison", "Results", "SpeedtestError", "compare", "load", "run"]

if TYPE_CHECKING:
    import pandas
    import polars


StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Results:
    """A run with its figures.

    Attributes:
        source: the run and its location.
    """

    source: RunSource

    @property
    def run(self) -> s.Run:
        """Everything, as docs/reference/results.md describes it."""
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
        return list(tables.named(table, text=text).records([self.run]))

    def to_pandas(self, table: str = "cells", *, text: bool = False) -> pandas.DataFrame:
        """The same as a pandas data frame. Raises UsageError, also where there is no pandas."""
        return tables.to_pandas(tables.named(table, text=text), [self.run])

    def to_polars(self, table: str = "cells", *, text: bool = False) -> polars.DataFrame:
        """The same as a polars data frame. Raises UsageError, also where there is no polars."""
        return tables.to_polars(tables.named(table, text=text), [self.run])

    def export(self, path: StrPath, table: str = "cells", *, text: bool = False) -> Path:
        """Write a table, or with ``.json`` the whole run, in the format that the ending names.

        Raises:
            UsageError: the ending names no format, or JSON of anything but whole runs.
            StorageError: the file could not be written.
        """
        target = Path(path)
        files.save([self.run], target, files.format_of(target), tables.named(table, text=text))
        return target

    def report(self, path: StrPath) -> Path:
        """Write the run as one HTML page that needs no network. Raises StorageError."""
        from mac_whisper_speedtest.report.html.report import render_report

        file_io.write_bytes(Path(path), render_report(self.run, label=self.source.label).encode())
        return Path(path)

    def timeline(self) -> Timeline:
        """The run as spans of time. Raises StorageError where its journal cannot be read."""
        found = self.source.directory
        events = found.journal().lines if found is not None else None
        return timeline.timeline_of(self.run, events)

    def trace(self, path: StrPath) -> Path:
        """Write the timeline as Chrome trace JSON, for Perfetto. Raises StorageError."""
        file_io.write_bytes(Path(path), export.to_json(self.timeline()))
        return Path(path)

    def __repr__(self) -> str:
        statuses = [cell.status for cell in self.cells]
        return f"<Results of run {self.source.label}: {statuses.count('ok')} of {len(statuses)} ok>"

    def _repr_html_(self) -> str:
        return notebook.run_html(self.run, self.source.label)


def load(name: StrPath | int = "latest") -> Results:
    """A run: its number, a tag, a run id, ``latest``, or the path of a directory or a bundle.

    Raises:
        UsageError: there is no such run, or the bundle is refused.
        StorageError: its files are missing or damaged.
    """
    return Results(sources.load(str(name)))


class _LineProgress(Observer):
    """Sends each event of a run to a function as a line of text."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send

    def notify(self, text: str) -> None:
        self._send(text)

    def visit(self, number: int, rounds: int, cell: str) -> None:
        self._send(f"round {number + 1} of {rounds}: {cell}")

    def event(self, event: s.Event) -> None:
        if isinstance(event, s.WorkerEnded) and event.status != "ok":
            self._send(f"{event.cell}: {event.status}: {event.message}")


def run(
    models: str | Sequence[str],
    *,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Results:
    """Measure backends on models and one recording or set, as ``speedtest run`` does.

    Nothing but the built-in clip is downloaded, unless an address as ``audio``, ``download``,
    ``install``, ``pull`` or ``repair`` ask for it.
    Failed cells are in the results and raise nothing. An interrupt seals the results so far; the
    outcome of the run is then ``interrupted``.

    Args:
        models: one name or several.
        progress: receives a line before each visit and for each failure, never during a sample;
            such as ``print``.
        options: every option of ``speedtest run``, by the names in docs/reference/run-options.md.
            Shares are fractions, times are seconds and sizes are bytes. What is left out is as on
            the command line.

    Raises:
        TypeError: an option that does not exist.
        UsageError: the request is wrong or cannot be met.
        WeightsError: weights are damaged.
        StorageError: results cannot be written.
    """
    requested = request.from_keywords(models=models, **options)
    observer = Observer() if progress is None else _LineProgress(progress)
    found, _ = session.perform(requested, observer)
    return Results(sources.of_directory(found))


def _signature() -> inspect.Signature:
    """The signature of `run`, with every option as a keyword."""
    own = inspect.signature(run)
    kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_keyword_default(name))
        for name in request.OPTIONS
        if name not in own.parameters
    ]
    return own.replace(parameters=kept + more)


def _keyword_default(name: str) -> Any:
    """The value of a keyword that leaves it at its default."""
    option, default = request.OPTIONS[name], request.default_of(name)
    if option.otherwise:
        return None
    return option.kind.text(default) if isinstance(option.kind, OneOf) else default


run.__signature__ = _signature()  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared, with the statistics and words of ``speedtest compare``.

    Attributes:
        document: everything, as ``speedtest compare --format json`` writes it.
    """

    document: Compared

    @property
    def cells(self) -> list[CellChange]:
        """The change of each cell."""
        return self.document.cells

    @property
    def regressions(self) -> list[str]:
        """The regressions that ``fail_on`` names, in words."""
        return [f"{each.cell}: {each.message}" for each in self.document.regressions]

    @property
    def undecided(self) -> list[str]:
        """The undecided parts of ``fail_on``, in words; they are no regressions."""
        return [f"{each.cell}: {each.message}" for each in self.document.undecided]

    def to_markdown(self) -> str:
        """The comparison for a pull request."""
        return comparison_markdown.render(self.document)

    def __repr__(self) -> str:
        base, new = self.document.base.label, self.document.new.label
        found = ", ".join(
            f"{cell.name} {cell.speed.verdict if cell.speed else cell.state}" for cell in self.cells
        )
        return f"<Comparison of runs {base} and {new}: {found}>"

    def _repr_html_(self) -> str:
        return notebook.comparison_html(self.document)


def compare(
    base: Results | StrPath | int,
    new: Results | StrPath | int = "latest",
    *,
    margin: float | None = None,
    anyway: bool = False,
    fail_on: str | Sequence[str] = (),
) -> Comparison:
    """Compare two runs cell by cell, as ``speedtest compare`` does.

    Args:
        base: to compare with: a run, its name, or ``previous-comparable``.
        new: to judge: a run or its name.
        margin: smaller relative differences in speed do not count, such as 0.03.
        anyway: also compare runs that are not comparable.
        fail_on: what belongs into ``regressions``: ``slower``, ``wrong``, ``changed``, ``unclear``,
            ``memory``, ``energy``.

    Raises:
        UsageError: there is no such run, or the two cannot be compared.
        StorageError: a run cannot be read.
    """
    if margin is not None:
        Share().check(margin, "margin")
    kinds = gates.kinds([fail_on] if isinstance(fail_on, str) else fail_on)
    judged = new.source if isinstance(new, Results) else sources.load(str(new))
    against = (
        base.source
        if isinstance(base, Results)
        else sources.load_base(str(base), judged.run.manifest)
    )
    found = comparing.compare(against, judged, margin=margin, anyway=anyway)
    return Comparison(gates.judged(found, kinds))
