"""Runs as tables of cells, samples or utterances. Rows are generated one at a time.

The columns are derived from the declared fields of a row; docs/reference/columns.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import msgspec

from mac_whisper_speedtest.declared import Column, Doc
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import cells, comparable
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn, Kind, Value, flat_columns
from mac_whisper_speedtest.results.comparable import Comparable
from mac_whisper_speedtest.summary.samples import counted

if TYPE_CHECKING:
    import pandas
    import polars


# Rows, at which a column's path begins.


@dataclass(frozen=True, slots=True)
class ExportedCell:
    """A cell of a run with summaries.

    Attributes:
        name: unique in the cell's table of the run.
        comparable: what makes runs comparable.
    """

    cell: s.CellResult
    run: s.Run
    name: str
    comparable: Comparable
    comparable_key: Annotated[
        str, Doc("equal for equal contract, speech and kind of machine"), Column()
    ]

    @property
    def contract(self) -> Annotated[str, Column(brief=True)]:
        """Name of the decode contract."""
        return str(self.run.manifest.request.contract.get("name") or "")

    @property
    def contract_sha256(self) -> Annotated[str, Column()]:
        """Hash of the contract's settings."""
        return self.comparable.contract

    @property
    def deviations(self) -> Annotated[list[str], Column()]:
        """Settings that deviate from the contract."""
        return sorted({each.setting for each in self.cell.contract.deviations})

    @property
    def network_sha256(self) -> Annotated[str | None, Column()]:
        """Hash of the network, which does not depend on the format of its weights."""
        return comparable.network_sha256(self.cell.model.weights)

    @property
    def recordings(self) -> Annotated[int, Column()]:
        """Number of recordings in the clip."""
        return len(self.cell.clip.utterances) or 1

    @property
    def hardware_class(self) -> Annotated[str, Column(brief=True)]:
        """Kind of machine, in words."""
        return self.comparable.hardware

    @property
    def findings(self) -> Annotated[list[str], Column()]:
        """Every finding as `kind: message`."""
        found = self.cell.summary.findings if self.cell.summary else []
        return [f"{each.kind}: {each.message}" for each in found]

    @property
    def rank(self) -> str:
        """Its rank as text."""
        return cells.rank_of(self.cell)

    @property
    def error_rate(self) -> str:
        """Its error rate as text."""
        return cells.error_rate_of(self.cell)

    @property
    def status(self) -> str:
        """Its status as text."""
        return cells.status_of(self.cell)

    @property
    def failure(
        self,
    ) -> Annotated[
        s.EndingResult | None,
        Column(of="message", brief=True),
        Column(of="stage"),
        Column(of="error_class"),
    ]:
        """First ending that is not `ok`."""
        return next((each for each in self.cell.endings if each.status != "ok"), None)


@dataclass(frozen=True, slots=True)
class SampleRow(ExportedCell):
    """One transcription: one of the cell's samples."""

    sample: s.SampleResult
    audio_s: Annotated[float | None, Doc("duration of the recording", unit="s"), Column(brief=True)]
    counted: Annotated[
        bool,
        Doc("whether its time is in medians and intervals; see *Which samples count*"),
        Column(brief=True),
    ]


@dataclass(frozen=True, slots=True)
class UtteranceRow(ExportedCell):
    """One recording's errors.

    Attributes:
        score: one of the cell's scores.
        recording: the scored one; ``None`` if no recording has its name.
        accuracy: the cell's.
    """

    score: s.UtteranceScore
    recording: s.UtteranceInfo | s.ClipInfo | None
    accuracy: Annotated[
        s.AccuracyResult,
        Column("metric", of="metric", meaning="`wer` or `cer`", brief=True),
        Column(of="normalizer", meaning="rules that both texts were normalized by"),
    ]


_IDENTITY = (
    *("schema_version", "run", "run_id", "tags", "cell", "backend", "backend_version", "device"),
    *("precision", "model", "clip", "contract", "threads", "hardware_class", "comparable_key"),
)
"""The first columns of every table, which identify a row."""
_BRIEF = ("run", "backend", "model", "clip")
"""Those of them that are brief in tables of samples and utterances."""
_CELLS = {column.name: column for column in flat_columns(ExportedCell)}
_FIRST = tuple(_CELLS[name] for name in _IDENTITY)

SHARED = tuple(replace(column, brief=column.name in _BRIEF) for column in _FIRST)
"""Columns of cells that tables of samples and utterances also have."""

_SHOWN_AS = {"backend": "name", "rank": "rank", "wer": "error_rate", "status": "status"}
"""Brief columns with another text → the row's attribute with that text."""
NAMES = ("cells", "samples", "utterances")


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of table.

    Attributes:
        name: one of ``NAMES``.
        rows: yields the rows of a run with summaries.
    """

    name: str
    columns: tuple[FlatColumn, ...]
    rows: Callable[[s.Run], Iterator[ExportedCell]]

    def values(self, runs: Iterable[s.Run]) -> Iterator[list[Value]]:
        """One list per row, as long as ``columns``; runs are iterated lazily."""
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
        """One dict per row: column name → value."""
        names = [column.name for column in self.columns]
        for values in self.values(runs):
            yield dict(zip(names, values, strict=True))

    def brief(self) -> Table:
        """Only the brief columns, and ranks and rates as texts: as in reports, the best first."""
        columns = (
            replace(each, path=_SHOWN_AS[each.name], kind=Kind.STRING)
            if each.name in _SHOWN_AS
            else each
            for each in self.columns
            if each.brief
        )
        return Table(self.name, tuple(columns), lambda run: self.rows(_ordered(run)))


def _ordered(run: s.Run) -> s.Run:
    """The run with its cells as a report shows them: by table, group and rank."""
    ordered = [cell for table in cells.tables_of(run.cells) for cell in table.cells]
    return msgspec.structs.replace(run, cells=ordered)


def samples(*, text: bool = False) -> Table:
    """The table of samples, with transcripts if they were requested."""

    def rows(run: s.Run) -> Iterator[ExportedCell]:
        for row in _cells(run):
            cell = row.cell
            lengths = {each.name: each.seconds for each in cell.clip.utterances}
            lengths = lengths or {"": cell.clip.seconds}
            in_medians = set(map(id, counted(run, cell)))
            for each in cell.samples:
                yield SampleRow(
                    run=run,
                    cell=cell,
                    name=row.name,
                    comparable=row.comparable,
                    comparable_key=row.comparable_key,
                    sample=each,
                    audio_s=lengths.get(each.utterance),
                    counted=id(each) in in_medians,
                )

    own = flat_columns(SampleRow, inherited=False)
    columns = (*SHARED, *(each for each in own if not each.on_request))
    texts = (each for each in own if each.on_request and text)
    return Table("samples", (*columns, *texts), rows)


def _of_cell(column: FlatColumn) -> bool:
    """Whether all rows of a cell have the same value."""
    return hasattr(ExportedCell, column.path.partition(".")[0])


def _cells(run: s.Run) -> Iterator[ExportedCell]:
    shared = comparable.comparable_part(run.manifest)
    key = shared.key
    names = cells.names_of_run(run.cells)
    for cell in run.cells:
        yield ExportedCell(
            run=run, cell=cell, name=names[cell.id], comparable=shared, comparable_key=key
        )


def _utterances(run: s.Run) -> Iterator[ExportedCell]:
    for row in _cells(run):
        summary, clip = row.cell.summary, row.cell.clip
        if summary is None or summary.accuracy is None:
            continue
        recordings = {each.name: each for each in clip.utterances}
        for each in summary.accuracy.utterances:
            yield UtteranceRow(
                run=run,
                cell=row.cell,
                name=row.name,
                comparable=row.comparable,
                comparable_key=row.comparable_key,
                score=each,
                recording=recordings.get(each.name) if recordings else clip,
                accuracy=summary.accuracy,
            )


CELLS = Table("cells", (*_FIRST, *(each for each in _CELLS.values() if each not in _FIRST)), _cells)
UTTERANCES = Table(
    "utterances", (*SHARED, *flat_columns(UtteranceRow, inherited=False)), _utterances
)


def named(name: str, *, text: bool = False) -> Table:
    """The table of this name.

    Args:
        name: ``cells``, ``samples`` or ``utterances``.
        text: with ``samples``: the transcripts too.

    Raises:
        UsageError: there is no such table.
    """
    known = {each.name: each for each in (CELLS, samples(text=text), UTTERANCES)}
    if name not in known:
        raise UsageError(f"there is no table {name!r}", hint=f"use one of {', '.join(known)}")
    return known[name]


# Data frames. A column has its declared type, even if it is empty.

_PANDAS = {
    Kind.STRING: "string",
    Kind.INTEGER: "Int64",
    Kind.NUMBER: "float64",
    Kind.BOOLEAN: "boolean",
    Kind.STRINGS: "object",
}
"""Nullable types; an unknown number is NaN."""


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
