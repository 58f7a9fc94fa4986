"""The index of runs: their summaries in an SQLite database, so that many runs can be searched.

Everything in the index is computed from the run directories. It detects which of them have changed,
and can be deleted at any time.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store import database, location
from mac_whisper_speedtest.store import entry as reading
from mac_whisper_speedtest.store import rows as index_tables
from mac_whisper_speedtest.store.database import transaction
from mac_whisper_speedtest.store.entry import IndexEntry
from mac_whisper_speedtest.store.rows import RUNNING, CellRow, FilesRow, Row, RunRow

_Found = TypeVar("_Found")

# Conditions in SQL: the names are constants of this program, the values are bound.


class Query:
    """Conditions that must all hold, with their values. An empty text adds no condition."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[str | int] = []

    @property
    def where(self) -> str:
        """The clause, with a placeholder for each of ``values``; empty without a condition."""
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def equal(self, column: str, value: str | int | None) -> None:
        """Require a value of a column."""
        if value not in {"", None}:
            self._add(f"{column} = ?", value)

    def version_of(self, column: str, backend: str) -> None:
        """Require a backend in a column, in any version: ``name`` or ``name@version``."""
        if backend:
            # Not LIKE: a name may contain its wildcards.
            start = f"{backend}@"
            self._add(f"({column} = ? OR substr({column}, 1, ?) = ?)", backend, len(start), start)

    def tagged(self, tag: str) -> None:
        """Require a tag of the run."""
        if tag:
            self._add("number IN (SELECT number FROM tags WHERE tag = ?)", tag)

    def having_cell(self, backend: str, model: str) -> None:
        """Require a cell of that backend and model in the run."""
        cell = Query()
        cell.version_of("backend", backend)
        cell.equal("model", model)
        if cell.where:
            inner = f"SELECT number FROM cells {cell.where}"  # noqa: S608 - constant names
            self._add(f"number IN ({inner})", *cell.values)

    def _add(self, condition: str, *values: str | int) -> None:
        self._conditions.append(condition)
        self.values += values


# Updating the index from the run directories, one run and one transaction at a time.


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of a refresh, in numbers of runs.

    Attributes:
        read: runs with files that were read.
        unchanged: runs with unchanged files.
        gone: runs that no longer exist.
        samples: in the runs that were read.
    """

    read: int
    unchanged: int
    gone: int
    samples: int


def _refresh(
    connection: sqlite3.Connection,
    *,
    everything: bool = False,
    within_s: float = math.inf,
    progress: Callable[[int, int], None] | None = None,
) -> Refreshed:
    """As ``Index.refresh``. Raises StorageError and sqlite3.Error."""
    files = connection.execute(index_tables.select(FilesRow))
    known = {row.number: row for row in index_tables.rows(FilesRow, files)}
    # A killed tool changes no file: runs recorded as running must be read again.
    rows = connection.execute("SELECT number, state, sealed FROM runs").fetchall()
    running = {number for number, state, _ in rows if state == RUNNING}
    sealed = {number: bool(each) for number, _, each in rows}
    present = directory.every()
    read = samples = 0
    began = time.monotonic()
    for done, run in enumerate(reversed(present), start=1):
        if time.monotonic() - began > within_s:
            break
        number = run.number
        again = everything or number in running
        found = reading.read_entry(run, None if again else known.get(number))
        if isinstance(found, IndexEntry):
            _write(connection, found)
            read += 1
            samples += found.run.samples
        else:
            if isinstance(found, FilesRow):
                _touch(connection, found)
            if sealed.get(number) is not (now := run.sealed_path.is_file()):
                connection.execute("UPDATE runs SET sealed = ? WHERE number = ?", (now, number))
        if progress is not None:
            progress(done, len(present))
    gone = known.keys() - {run.number for run in present}
    for number in gone:
        with transaction(connection):
            _remove(connection, number)
    return Refreshed(read, len(present) - read, len(gone), samples)


def _write(connection: sqlite3.Connection, entry: IndexEntry) -> None:
    number = entry.run.number
    with transaction(connection):
        _remove(connection, number)
        connection.execute(index_tables.insert(RunRow), index_tables.values(entry.run))
        connection.execute(index_tables.insert(FilesRow), index_tables.values(entry.files))
        connection.executemany(
            index_tables.insert(CellRow), [index_tables.values(cell) for cell in entry.cells]
        )
        connection.executemany(
            "INSERT INTO tags VALUES (?, ?)",
            [(tag, number) for tag in dict.fromkeys(entry.run.tags)],
        )


def _touch(connection: sqlite3.Connection, files: FilesRow) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM files WHERE number = ?", (files.number,))
        connection.execute(index_tables.insert(FilesRow), index_tables.values(files))


def _remove(connection: sqlite3.Connection, number: int) -> None:
    for statement in index_tables.REMOVE:
        connection.execute(statement, (number,))


def _quiet(_message: str) -> None:
    pass


def open_index(
    notify: Callable[[str], None] = _quiet, *, refresh: bool = True, where: Path | None = None
) -> Index:
    """The index of this user's runs, up to date. Use as a context manager.

    Where it cannot be written (a full disk, a read-only folder) it is built in memory.

    Args:
        notify: called with a sentence about anything unusual.
        refresh: whether to update the index from changed runs first.
        where: the database's path; by default as ``location`` decides.

    Raises:
        StorageError: the runs cannot be read.
    """
    path, why = where, ""
    if path is None:
        decided = location.index_location()
        path, why = decided.path, decided.reason
    if path is not None:
        try:
            return _on_disk(path, notify, refresh=refresh)
        except StorageError as error:
            why = error.message
    notify(f"the index is only in memory, for this command: {why}")
    index = Index(database.in_memory(), None, notify)
    index.refresh()
    return index


def _on_disk(path: Path, notify: Callable[[str], None], *, refresh: bool) -> Index:
    index = Index(database.open_database(path, notify), path, notify)
    try:
        if refresh:
            index.refresh()
    except BaseException:
        index.close()
        raise
    return index


class Index:
    """Summaries of runs and cells, in an open database."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        notify: Callable[[str], None] = _quiet,
    ) -> None:
        self._connection = connection
        self.path = path
        self._notify = notify

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def refresh(
        self,
        *,
        everything: bool = False,
        within_s: float = math.inf,
        progress: Callable[[int, int], None] | None = None,
    ) -> Refreshed:
        """Update the index from the run directories.

        A run is read if the size or modification time of its files has changed, if another version
        of this program computed its figures, or if it was still running. One run is in memory at a
        time, and each is one transaction, so that an interruption loses no finished work.

        Args:
            everything: read every run, changed or not.
            within_s: seconds after which no further run is read; the newest come first.
            progress: called with the number of runs checked and the number of all runs.

        Raises:
            StorageError: the runs cannot be read, or the index cannot be written.
        """
        return self._retry_if_damaged(
            lambda: _refresh(
                self._connection, everything=everything, within_s=within_s, progress=progress
            )
        )

    def check(self) -> str:
        """Errors that SQLite finds in the database; empty if none."""
        try:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if found == "ok" else str(found)

    def recreate(self, why: str) -> None:
        """Replace the database by an empty one. Raises StorageError."""
        self._connection.close()
        if self.path is None:
            self._connection = database.in_memory()
        else:
            self._connection = database.recreate(self.path, why, self._notify)

    def runs(
        self, *, tag: str = "", state: str = "", backend: str = "", model: str = ""
    ) -> list[RunRow]:
        """The runs that meet all given conditions, in order of their numbers.

        Args:
            tag: a tag.
            state: as in ``RunRow``.
            backend: with a cell of that backend, in any version: ``faster-whisper`` also finds
                ``faster-whisper@1.2.1``.
            model: with a cell of that model.

        Raises:
            StorageError: the index cannot be read.
        """
        query = Query()
        query.equal("state", state)
        query.tagged(tag)
        query.having_cell(backend, model)
        return self._rows(RunRow, query, "number")

    def cells(self, *, backend: str = "", model: str = "", clip: str = "") -> list[CellRow]:
        """The cells that meet all given conditions, in order of runs and of positions in them.

        Args:
            backend: as in ``runs``.
            model: canonical name.
            clip: its name.

        Raises:
            StorageError: the index cannot be read.
        """
        query = Query()
        query.version_of("backend", backend)
        query.equal("model", model)
        query.equal("clip", clip)
        return self._rows(CellRow, query, "number, place")

    def _rows(self, kind: type[Row], query: Query, order: str) -> list[Row]:
        sql = f"{index_tables.select(kind)} {query.where} ORDER BY {order}"
        return self._retry_if_damaged(
            lambda: index_tables.rows(kind, self._connection.execute(sql, query.values))
        )

    def _retry_if_damaged(self, action: Callable[[], _Found]) -> _Found:
        """The result of ``action``, retried on a rebuilt database if it is damaged."""
        try:
            return action()
        except sqlite3.DatabaseError as error:
            if not database.is_damage(error):
                raise database.unusable(self.path, error) from error
            why = str(error)
        try:
            self.recreate(why)
            _refresh(self._connection)
            return action()
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error
