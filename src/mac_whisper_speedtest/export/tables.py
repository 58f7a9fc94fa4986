"""Runs as tables: of cells, of samples, of utterances. Rows are made one at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from mac_whisper_speedtest.export import cell_columns, sample_columns
from mac_whisper_speedtest.export.columns import Column, Value
from mac_whisper_speedtest.export.rows import CellRow, SampleRow, UtteranceRow
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s

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
    rows: Callable[[s.Run], Iterator[CellRow]]

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

    def rows(run: s.Run) -> Iterator[CellRow]:
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

    columns = sample_columns.SAMPLES
    return Table("samples", (*columns, sample_columns.TEXT) if text else columns, rows)


def _of_cell(column: Column) -> bool:
    """Whether every row of a cell has the same value."""
    return hasattr(CellRow, column.path.partition(".")[0])


def _cells(run: s.Run) -> Iterator[CellRow]:
    of = comparable.of(run.manifest)
    key = of.key
    for cell in run.cells:
        yield CellRow(run=run, cell=cell, comparable=of, comparable_key=key)


def _utterances(run: s.Run) -> Iterator[CellRow]:
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
UTTERANCES = Table("utterances", sample_columns.UTTERANCES, _utterances)
