"""The index's tables: which there are, and how a row becomes an object and the other way round.

Tables and objects have the same columns, so that neither can be forgotten in the other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TypeVar

from mac_whisper_speedtest.store.rows import CellRow, RunRow

APPLICATION_ID = 0x73706478
"""Written into the database's header: ``spdx``, for this program's index and nobody else's."""
VERSION = 1
"""Of the tables below. An index of another version is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesRow:
    """The files that a run's rows were made from, as they were then.

    Attributes:
        number: of the run.
        manifest_size: bytes.
        manifest_mtime_ns: when it was changed, in ns; only compared for being equal.
        journal_size: bytes; 0 where there is none.
        journal_mtime_ns: likewise; 0 where there is none.
        sha256: of the bytes of both.
        computed_by: version of the program that computed the rows.
    """

    number: int
    manifest_size: int
    manifest_mtime_ns: int
    journal_size: int
    journal_mtime_ns: int
    sha256: str
    computed_by: str


Row = TypeVar("Row", RunRow, CellRow, FilesRow)

_NAMES = {RunRow: "runs", CellRow: "cells", FilesRow: "files"}
_TYPES = {"int": "INTEGER", "bool": "INTEGER", "float": "REAL"}  # all others are texts
_AS_JSON = ("tuple", "dict")

CREATE = (
    *(
        f"CREATE TABLE {name} ("
        + ", ".join(
            f'"{field.name}" {_TYPES.get(str(field.type).removesuffix(" | None"), "TEXT")}'
            for field in fields(kind)
        )
        + (", PRIMARY KEY (number, place))" if kind is CellRow else ", PRIMARY KEY (number))")
        for kind, name in _NAMES.items()
    ),
    "CREATE TABLE tags (tag TEXT, number INTEGER, PRIMARY KEY (tag, number)) WITHOUT ROWID",
    "CREATE INDEX runs_comparable ON runs (comparable)",
    "CREATE INDEX runs_hardware ON runs (hardware)",
    "CREATE INDEX runs_run_id ON runs (run_id)",
    "CREATE INDEX runs_state ON runs (state)",
    "CREATE INDEX cells_backend ON cells (backend, model)",
    "CREATE INDEX cells_model ON cells (model, pcm_sha256)",
    "CREATE INDEX tags_number ON tags (number)",
)
DROP = tuple(f"DROP TABLE IF EXISTS {name}" for name in (*_NAMES.values(), "tags"))
REMOVE = tuple(
    f"DELETE FROM {name} WHERE number = ?"  # noqa: S608 - our own names
    for name in (*_NAMES.values(), "tags")
)
"""Each takes a run's number, and takes away what is known of it."""


def columns(kind: type[Row], table: str = "") -> str:
    """The columns of a table in order, for a ``SELECT``."""
    start = f"{table}." if table else ""
    return ", ".join(f'{start}"{field.name}"' for field in fields(kind))


@cache
def insert(kind: type[Row]) -> str:
    """The statement that writes one row."""
    places = ", ".join("?" for _ in fields(kind))
    return f"INSERT INTO {_NAMES[kind]} VALUES ({places})"  # noqa: S608 - our own names


def values(row: Row) -> tuple[object, ...]:
    """A row as ``insert`` takes it."""
    return tuple(_stored(getattr(row, field.name)) for field in fields(row))


def rows(kind: type[Row], found: Iterable[Sequence[object]]) -> list[Row]:
    """What a ``SELECT`` of all ``columns`` gave, as objects.

    Raises:
        sqlite3.DatabaseError: it holds what was never written there.
    """
    known = [(field.name, str(field.type)) for field in fields(kind)]
    try:
        return [
            kind(
                **{
                    name: _read(type_, value)
                    for (name, type_), value in zip(known, each, strict=True)
                }  # type: ignore[arg-type]
            )
            for each in found
        ]
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"it holds a value that is none: {error}") from error


def _stored(value: object) -> object:
    return json.dumps(value) if isinstance(value, tuple | dict) else value


def _read(type_: str, value: object) -> object:
    if type_ == "bool":
        return bool(value)
    if isinstance(value, str) and type_.startswith(_AS_JSON):
        parsed = json.loads(value)
        return tuple(parsed) if type_.startswith("tuple") else parsed
    return value
