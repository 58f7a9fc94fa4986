"""Runs as tables: of cells, of samples, of utterances. Rows are made one at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export import columns as cell_columns
from mac_whisper_speedtest.export.columns import Column, Kind, Value
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.comparable import Comparable

if TYPE_CHECKING:
    import pandas
    import polars


# The rows of the tables: what a column's path begins at.


@dataclass(frozen=True, slots=True)
class ExportedCell:
    """A cell and the run that it is of.

    Attributes:
        run: with summaries.
        cell: one of its cells.
        comparable: what the run can be compared by.
        comparable_key: its key.
    """

    run: s.Run
    cell: s.CellResult
    comparable: Comparable
    comparable_key: str

    @property
    def network_sha256(self) -> str | None:
        """The hash of the network, whatever form its file has."""
        return comparable.network_sha256(self.cell.model.weights)

    @property
    def recordings(self) -> int:
        """How many recordings the cell transcribes."""
        return len(self.cell.clip.utterances) or 1

    @property
    def deviations(self) -> list[str]:
        """The settings in which other work was done than the contract asks for."""
        return sorted({each.setting for each in self.cell.contract.deviations})

    @property
    def findings(self) -> list[str]:
        """What a reader must know beside the number."""
        found = self.cell.summary.findings if self.cell.summary else []
        return [f"{each.kind}: {each.message}" for each in found]

    @property
    def failure(self) -> s.EndingResult | None:
        """The first ending that is not ``ok``."""
        return next((each for each in self.cell.endings if each.status != "ok"), None)


@dataclass(frozen=True, slots=True)
class SampleRow(ExportedCell):
    """One transcription.

    Attributes:
        sample: one of the cell's samples.
        audio_s: duration of what it transcribed; ``None`` where no recording has its name.
        counted: whether its time is in medians and intervals.
    """

    sample: s.SampleResult
    audio_s: float | None
    counted: bool


@dataclass(frozen=True, slots=True)
class UtteranceRow(ExportedCell):
    """One recording's errors.

    Attributes:
        score: one of the cell's scores.
        recording: what was scored; ``None`` where no recording has its name.
    """

    score: s.UtteranceScore
    recording: s.UtteranceInfo | s.ClipInfo | None


NAMES = ("cells", "samples", "utterances")

Counted = Callable[[s.Run, s.CellResult], Collection[s.SampleResult]]
"""Which of a cell's samples are in its medians."""


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of table.

    Attributes:
        name: one of ``NAMES``.
        columns: in order.
        rows: what a run has in it; the run has summaries.
    """

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[s.Run], Iterator[ExportedCell]]

    def values(self, runs: Iterable[s.Run]) -> Iterator[list[Value]]:
        """One list per row, as long as ``columns``; a run is asked for when its rows are due."""
        own = [(at, each) for at, each in enumerate(self.columns) if not _of_cell(each)]
        for run in runs:
            cell: s.CellResult | None = None
            shared: list[Value] = []
            for row in self.rows(run):
                if row.cell is not cell:  # a cell may have a million samples
                    cell = row.cell
                    shared = [each.value(row) if _of_cell(each) else None for each in self.columns]
                values = shared.copy()
                for at, column in own:
                    values[at] = column.value(row)
                yield values

    def records(self, runs: Iterable[s.Run]) -> Iterator[dict[str, Value]]:
        """One object per row: column name → value. Data frames can be made from a list of these."""
        names = [column.name for column in self.columns]
        for values in self.values(runs):
            yield dict(zip(names, values, strict=True))

    def brief(self) -> Table:
        """The same rows with the columns for people only."""
        return Table(self.name, tuple(each for each in self.columns if each.brief), self.rows)


def samples(counted: Counted, *, text: bool = False) -> Table:
    """The table of samples.

    Args:
        counted: says which of a cell's samples are in its medians.
        text: whether to have the transcripts too.
    """

    def rows(run: s.Run) -> Iterator[ExportedCell]:
        for row in _cells(run):
            cell = row.cell
            lengths = {each.name: each.seconds for each in cell.clip.utterances}
            lengths = lengths or {"": cell.clip.seconds}
            there = set(map(id, counted(run, cell)))
            for each in cell.samples:
                yield SampleRow(
                    run=run,
                    cell=cell,
                    comparable=row.comparable,
                    comparable_key=row.comparable_key,
                    sample=each,
                    audio_s=lengths.get(each.utterance),
                    counted=id(each) in there,
                )

    columns = cell_columns.SAMPLES
    return Table("samples", (*columns, cell_columns.TEXT) if text else columns, rows)


def _of_cell(column: Column) -> bool:
    """Whether every row of a cell has the same value."""
    return hasattr(ExportedCell, column.path.partition(".")[0])


def _cells(run: s.Run) -> Iterator[ExportedCell]:
    of = comparable.comparable_part(run.manifest)
    key = of.key
    for cell in run.cells:
        yield ExportedCell(run=run, cell=cell, comparable=of, comparable_key=key)


def _utterances(run: s.Run) -> Iterator[ExportedCell]:
    for row in _cells(run):
        summary, clip = row.cell.summary, row.cell.clip
        scores = summary.accuracy.utterances if summary and summary.accuracy else []
        recordings = {each.name: each for each in clip.utterances}
        for each in scores:
            yield UtteranceRow(
                run=run,
                cell=row.cell,
                comparable=row.comparable,
                comparable_key=row.comparable_key,
                score=each,
                recording=recordings.get(each.name) if recordings else clip,
            )


CELLS = Table("cells", cell_columns.COLUMNS, _cells)
UTTERANCES = Table("utterances", cell_columns.UTTERANCES, _utterances)


# Runs as data frames: a table's columns with their types, also where a column is empty.


_PANDAS = {
    Kind.STRING: "string",
    Kind.INTEGER: "Int64",
    Kind.NUMBER: "float64",
    Kind.BOOLEAN: "boolean",
    Kind.STRINGS: "object",
}
"""Types that can be null; a number that is not known is NaN."""


def to_pandas(table: Table, runs: Iterable[s.Run]) -> pandas.DataFrame:
    """A table as a pandas data frame; times are time stamps in UTC.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise _missing("pandas") from error
    names = [column.name for column in table.columns]
    found = pandas.DataFrame.from_records(list(table.values(runs)), columns=names)
    for column in table.columns:
        if column.kind is Kind.TIME:
            found[column.name] = pandas.to_datetime(found[column.name], utc=True, format="ISO8601")
        else:
            found[column.name] = found[column.name].astype(_PANDAS[column.kind])
    return found


def to_polars(table: Table, runs: Iterable[s.Run]) -> polars.DataFrame:
    """A table as a polars data frame; times are time stamps in UTC.

    Raises:
        UsageError: polars is not installed.
    """
    try:
        import polars
    except ImportError as error:
        raise _missing("polars") from error
    kinds = {
        Kind.STRING: polars.String(),
        Kind.INTEGER: polars.Int64(),
        Kind.NUMBER: polars.Float64(),
        Kind.BOOLEAN: polars.Boolean(),
        Kind.STRINGS: polars.List(polars.String()),
        Kind.TIME: polars.String(),
    }
    found = polars.DataFrame(
        list(table.values(runs)),
        schema={column.name: kinds[column.kind] for column in table.columns},
        orient="row",
    )
    times = [column.name for column in table.columns if column.kind is Kind.TIME]
    return found.with_columns(
        polars.col(name).str.to_datetime(time_zone="UTC", strict=False) for name in times
    )


def _missing(name: str) -> UsageError:
    return UsageError(f"{name} is not installed", hint=f"run: pip install {name}")
