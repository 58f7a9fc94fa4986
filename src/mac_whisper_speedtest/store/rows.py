"""The rows of the index: a summary of each run and each cell, and their tables. Pure.

Every value is computed from the manifest and the journal. The meaning of a column is declared at
its field; docs/reference/index.md is generated from that.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.results import comparable, directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn, Kind, flat_columns
from mac_whisper_speedtest.results.directory import RunDirectory

RUNNING, OUTDATED, UNREADABLE = "running", "too old", "unreadable"
STATES = ("complete", "stopped", "interrupted", "recovered", RUNNING, OUTDATED, UNREADABLE)
"""The states of ``Outcome``, and two for runs by an unreleased version of this tool and for runs
whose manifest or journal cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run."""

    number: Annotated[
        int, Doc("the folder's number; an imported run's differs from its manifest's")
    ]
    run_id: Annotated[str, Doc("32 hexadecimal digits: the same run on every machine")] = ""
    started_at: Annotated[str, Doc("ISO 8601, UTC. For people; it orders nothing")] = ""
    state: Annotated[str, Doc("as in `Outcome`, or `too old` or `unreadable`")]
    message: Annotated[str, Doc("why it is in that state; may be empty")] = ""
    sealed: Annotated[bool, Doc("whether there is a `run.json`")] = False
    schema_version: Annotated[int, Doc("of the manifest; 0 where it is not read")] = 0
    tool_version: Annotated[str, Doc("version of the tool that measured")] = ""
    tags: Annotated[
        tuple[str, ...], Doc("in the order given; also in table `tags`, one row per tag and run")
    ] = ()
    request_sha256: Annotated[str, Doc("equal requests, equal hashes")] = ""
    comparable: Annotated[str, Doc("equal for equal contract, speech and kind of machine")] = ""
    hardware: Annotated[str, Doc("kind of machine, in words")] = ""
    contract: Annotated[str, Doc("name of the decode contract")] = ""
    speech: Annotated[tuple[str, ...], Doc("names of the clips")] = ()
    backends: Annotated[
        tuple[str, ...], Doc("names of the backends, with the versions that were requested")
    ] = ()
    models: Annotated[tuple[str, ...], Doc("names of the models")] = ()
    cells: Annotated[int, Doc("how many cells there are")] = 0
    cells_ok: Annotated[int, Doc("how many of them ended `ok`")] = 0
    samples: Annotated[int, Doc("transcriptions that were recorded, warm-ups among them")] = 0

    @property
    def directory(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(directory.runs_dir() / directory.run_name(self.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """A cell with its figures, without its samples.

    The table has ``cell`` as JSON, and a column for each flat column of a cell in exports, which
    SQLite computes from it.
    """

    number: Annotated[int, Doc("the folder's number of its run")]
    place: Annotated[int, Doc("the cell's place in the run, from 0")]
    network_sha256: Annotated[str | None, Doc("hash of the network, in any format")]
    cell: Annotated[
        s.CellResult,
        Doc("JSON: `CellResult` without samples, loads, readings, recordings and good endings"),
    ]


def index_rows(run: s.Run, *, number: int, sealed: bool) -> tuple[RunRow, list[CellRow]]:
    """The rows of a run.

    Args:
        run: with its summaries.
        number: of its folder.
        sealed: whether there is a ``run.json``.
    """
    manifest = run.manifest
    outcome = manifest.outcome or s.Outcome(state="recovered")
    row = RunRow(
        number=number,
        run_id=manifest.run_id,
        started_at=manifest.started_at,
        state=outcome.state,
        message=outcome.message,
        sealed=sealed,
        schema_version=manifest.schema_version,
        tool_version=manifest.tool.version,
        tags=tuple(manifest.tags),
        request_sha256=manifest.request_sha256,
        comparable=comparable.comparable_part(manifest).key,
        hardware=comparable.hardware_class(manifest.machine),
        contract=_contract(manifest.request.contract),
        speech=tuple(clip.name for clip in manifest.clips),
        backends=tuple(dict.fromkeys(cell.backend.name for cell in run.cells)),
        models=tuple(dict.fromkeys(cell.model.name for cell in run.cells)),
        cells=len(run.cells),
        cells_ok=sum(cell.status == "ok" for cell in run.cells),
        samples=sum(len(cell.samples) for cell in run.cells),
    )
    return row, [_cell(cell, number, place) for place, cell in enumerate(run.cells)]


def _cell(cell: s.CellResult, number: int, place: int) -> CellRow:
    summary = cell.summary
    assert summary is not None, "a run must be summarized first"
    if summary.accuracy is not None:
        accuracy = msgspec.structs.replace(summary.accuracy, utterances=[])
        summary = msgspec.structs.replace(summary, accuracy=accuracy)
    clip = msgspec.structs.replace(
        cell.clip, reference=None, silences_s=[], utterances=[], left_out=[], unscored=[]
    )
    bad = [end for end in cell.endings if end.status != "ok"]
    return CellRow(
        number=number,
        place=place,
        network_sha256=comparable.network_sha256(cell.model.weights),
        cell=msgspec.structs.replace(
            cell, samples=[], loads=[], meters=[], endings=bad[:1], clip=clip, summary=summary
        ),
    )


def _contract(settings: Mapping[str, object]) -> str:
    return str(settings.get("name") or "")


# The tables, whose columns are the fields of the row types, and the conversion of rows.


APPLICATION_ID = 0x73706478
"""In the database's header: ``spdx``, for this program's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesRow:
    """The state of a run's files when its rows were computed."""

    number: Annotated[int, Doc("the folder's number of the run")]
    manifest_size: Annotated[int, Doc("size of the manifest", unit="byte")]
    manifest_mtime_ns: Annotated[int, Doc("when it was changed; only compared", unit="ns")]
    journal_size: Annotated[int, Doc("size of the journal; 0 where there is none", unit="byte")]
    journal_mtime_ns: Annotated[int, Doc("when it was changed; likewise", unit="ns")]
    sha256: Annotated[str, Doc("of the bytes of both")]
    computed_by: Annotated[str, Doc("version of the program that computed the rows")]


Row = TypeVar("Row", RunRow, CellRow, FilesRow)

_NAMES = {RunRow: "runs", CellRow: "cells", FilesRow: "files"}
_HINTS = {kind: get_type_hints(kind) for kind in _NAMES}
_NUMBERS = {int: "INTEGER", bool: "INTEGER", float: "REAL"}  # all others: TEXT

_KINDS = {Kind.INTEGER: "INTEGER", Kind.BOOLEAN: "INTEGER", Kind.NUMBER: "REAL"}


def sql_type(column: FlatColumn) -> str:
    """The SQLite type of a flat column."""
    return _KINDS.get(column.kind, "TEXT")


def column_of(field: str) -> str:
    """The column of a field; ``cell`` is renamed, because it is a cell's id in flat tables."""
    return "content" if field == "cell" else field


FIGURES = tuple(
    column
    for column in flat_columns(CellRow)
    if column.path.startswith("cell.") and column.kind is not Kind.STRINGS
)
"""The flat columns of a cell, which are also columns of the table."""
_COMPUTED = ", ".join(
    f'"{column.name}" {sql_type(column)} '
    f"AS (json_extract(content, '$.{column.path.removeprefix('cell.')}'))"
    for column in FIGURES
)


def _table(kind: type[RunRow | CellRow | FilesRow]) -> str:
    own = ", ".join(
        f'"{column_of(field)}" {_NUMBERS.get(hint, "TEXT")}' for field, hint in _HINTS[kind].items()
    )
    if kind is CellRow:
        return f"{own}, {_COMPUTED}, PRIMARY KEY (number, place)"
    return f"{own}, PRIMARY KEY (number)"


CREATE = (
    *(f"CREATE TABLE {name} ({_table(kind)})" for kind, name in _NAMES.items()),
    "CREATE TABLE tags (tag TEXT, number INTEGER, PRIMARY KEY (tag, number)) WITHOUT ROWID",
    "CREATE INDEX runs_comparable ON runs (comparable)",
    "CREATE INDEX runs_hardware ON runs (hardware)",
    "CREATE INDEX runs_run_id ON runs (run_id)",
    "CREATE INDEX runs_state ON runs (state)",
    "CREATE INDEX cells_backend ON cells (backend, model)",
    "CREATE INDEX cells_model ON cells (model, pcm_sha256)",
    "CREATE INDEX tags_number ON tags (number)",
)
VERSION = zlib.crc32("".join(CREATE).encode()) >> 1
"""Of these tables: an index with other tables is rebuilt. SQLite stores 31 bits of it."""
DROP = tuple(f"DROP TABLE IF EXISTS {name}" for name in (*_NAMES.values(), "tags"))
REMOVE = tuple(
    f"DELETE FROM {name} WHERE number = ?"  # noqa: S608 - constant names
    for name in (*_NAMES.values(), "tags")
)
"""Statements that delete all rows of a run; the parameter is its number."""


def _columns(kind: type[Row]) -> str:
    return ", ".join(f'"{column_of(field)}"' for field in _HINTS[kind])


def select(kind: type[Row]) -> str:
    """The statement that reads the stored columns of a table, for ``rows``."""
    return f"SELECT {_columns(kind)} FROM {_NAMES[kind]}"  # noqa: S608 - constant names


@cache
def insert(kind: type[Row]) -> str:
    """The statement that writes one row."""
    places = ", ".join("?" for _ in _HINTS[kind])
    return f"INSERT INTO {_NAMES[kind]} ({_columns(kind)}) VALUES ({places})"  # noqa: S608 - constant names


def values(row: Row) -> tuple[object, ...]:
    """The parameters of ``insert`` for a row."""
    return tuple(_stored(getattr(row, field)) for field in _HINTS[type(row)])


def rows(kind: type[Row], found: Iterable[Sequence[object]]) -> list[Row]:
    """The result of ``select``, as objects.

    Raises:
        sqlite3.DatabaseError: a value is of the wrong type.
    """
    hints = _HINTS[kind]
    try:
        return [
            kind(
                **{name: _read(hints[name], value) for name, value in zip(hints, each, strict=True)}
            )
            for each in found
        ]
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise sqlite3.DatabaseError(f"it contains an invalid value: {error}") from error


def _stored(value: object) -> object:
    plain = value is None or isinstance(value, int | float | str)
    return value if plain else msgspec.json.encode(value).decode()


def _read(hint: Any, value: object) -> Any:
    if hint is bool:
        return bool(value)
    if isinstance(value, str) and hint not in {str, str | None}:
        return msgspec.json.decode(value, type=hint)
    return value
