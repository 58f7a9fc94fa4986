"""Bringing the index up to date with the run directories, one run and one transaction at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store import entry as reading
from mac_whisper_speedtest.store import tables
from mac_whisper_speedtest.store.database import transaction
from mac_whisper_speedtest.store.entry import Entry
from mac_whisper_speedtest.store.rows import RUNNING, CellRow, RunRow
from mac_whisper_speedtest.store.tables import FilesRow


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        read: runs whose files were read.
        unchanged: runs whose files are what they were.
        gone: runs that are no longer there.
        samples: in the runs that were read.
    """

    read: int
    unchanged: int
    gone: int
    samples: int


def refresh(
    connection: sqlite3.Connection,
    *,
    everything: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Refreshed:
    """Read the runs that have changed since they were read last.

    Args:
        connection: an index's.
        everything: read every run, whatever is known of it.
        progress: told how many runs have been looked at, and how many there are.

    Raises:
        StorageError: the folder of runs cannot be read.
        sqlite3.Error: the index cannot be read or written.
    """
    sql = f"SELECT {tables.columns(FilesRow)} FROM files"  # noqa: S608 - our own names
    known = {row.number: row for row in tables.rows(FilesRow, connection.execute(sql))}
    # A tool that was killed changes no file: its runs have to be asked whether they still run.
    rows = connection.execute("SELECT number, state, sealed FROM runs").fetchall()
    running = {number for number, state, _ in rows if state == RUNNING}
    sealed = {number: bool(each) for number, _, each in rows}
    there = directory.every()
    read = samples = 0
    for done, run in enumerate(there, start=1):
        number = run.number
        again = everything or number in running
        found = reading.look(run, None if again else known.get(number))
        if isinstance(found, Entry):
            _write(connection, found)
            read += 1
            samples += found.run.samples
        else:
            if isinstance(found, FilesRow):
                _touch(connection, found)
            if sealed.get(number) is not (now := run.sealed_path.is_file()):
                connection.execute("UPDATE runs SET sealed = ? WHERE number = ?", (now, number))
        if progress is not None:
            progress(done, len(there))
    gone = known.keys() - {run.number for run in there}
    for number in gone:
        with transaction(connection):
            _remove(connection, number)
    return Refreshed(read, len(there) - read, len(gone), samples)


def _write(connection: sqlite3.Connection, entry: Entry) -> None:
    number = entry.run.number
    with transaction(connection):
        _remove(connection, number)
        connection.execute(tables.insert(RunRow), tables.values(entry.run))
        connection.execute(tables.insert(FilesRow), tables.values(entry.files))
        connection.executemany(
            tables.insert(CellRow), [tables.values(cell) for cell in entry.cells]
        )
        connection.executemany(
            "INSERT INTO tags VALUES (?, ?)",
            [(tag, number) for tag in dict.fromkeys(entry.run.tags)],
        )


def _touch(connection: sqlite3.Connection, files: FilesRow) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM files WHERE number = ?", (files.number,))
        connection.execute(tables.insert(FilesRow), tables.values(files))


def _remove(connection: sqlite3.Connection, number: int) -> None:
    for statement in tables.REMOVE:
        connection.execute(statement, (number,))
