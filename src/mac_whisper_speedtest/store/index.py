"""The index of runs: their summaries in an SQLite database, so that many runs can be searched.

The run directories are the truth. The index holds nothing that is not computed from them, notices
which of them have changed, and can be deleted at any time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.store import database, location, tables, upkeep
from mac_whisper_speedtest.store.question import Question
from mac_whisper_speedtest.store.rows import CellRow, RunRow
from mac_whisper_speedtest.store.upkeep import Refreshed

_Found = TypeVar("_Found")


def _quiet(_message: str) -> None:
    pass


def open_index(
    announce: Callable[[str], None] = _quiet, *, refresh: bool = True, where: Path | None = None
) -> Index:
    """The index of this user's runs, up to date. Use as a context manager.

    Where it cannot be written (a full disk, a folder that may only be read) it is made in memory.

    Args:
        announce: told what is not as usual, in a sentence each.
        refresh: whether to look which runs have changed first.
        where: the database's path; by default as ``place`` decides.

    Raises:
        StorageError: the runs cannot be read.
    """
    path, why = where, ""
    if path is None:
        decided = location.here()
        path, why = decided.path, decided.reason
    if path is not None:
        try:
            return _on_disk(path, announce, refresh=refresh)
        except StorageError as error:
            why = error.message
    announce(f"the index is only in memory, for this once: {why}")
    index = Index(database.in_memory(), None, announce)
    index.refresh()
    return index


def _on_disk(path: Path, announce: Callable[[str], None], *, refresh: bool) -> Index:
    index = Index(database.opened(path, announce), path, announce)
    try:
        if refresh:
            index.refresh()
    except BaseException:
        index.close()
        raise
    return index


class Index:
    """Summaries of runs and cells, in a database that is opened."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        announce: Callable[[str], None] = _quiet,
    ) -> None:
        self._connection = connection
        self.path = path
        self._announce = announce

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
        progress: Callable[[int, int], None] | None = None,
    ) -> Refreshed:
        """Bring the index up to date with the run directories.

        A run is read when its files have another size or time of change than when it was read last,
        when another version of this program computed its figures, or when it was still running. One
        run is in memory at a time, and each is one transaction, so that what was done stays done.

        Args:
            everything: read every run, whatever is known of it.
            progress: told how many runs have been looked at, and how many there are.

        Raises:
            StorageError: the runs cannot be read, or the index cannot be written.
        """
        return self._whole(
            lambda: upkeep.refresh(self._connection, everything=everything, progress=progress)
        )

    def check(self) -> str:
        """What SQLite finds wrong with the database; empty when nothing is."""
        try:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if found == "ok" else str(found)

    def renew(self, why: str) -> None:
        """Begin with an empty database. Raises StorageError."""
        self._connection.close()
        if self.path is None:
            self._connection = database.in_memory()
        else:
            self._connection = database.made_anew(self.path, why, self._announce)

    def runs(
        self,
        *,
        tag: str = "",
        state: str = "",
        backend: str = "",
        model: str = "",
        comparable: str = "",
        hardware: str = "",
        run_id: str = "",
    ) -> list[RunRow]:
        """The runs that have all of what is given, in order of their numbers.

        Args:
            tag: a tag.
            state: as in ``RunRow``.
            backend: with a cell of that backend, in whatever version: ``faster-whisper`` also finds
                ``faster-whisper@1.2.1``.
            model: with a cell of that model.
            comparable: the key of ``results.comparable``.
            hardware: the kind of machine, in words.
            run_id: the whole id.

        Raises:
            StorageError: the index cannot be read.
        """
        asked = Question()
        asked.equal("runs.state", state)
        asked.equal("runs.comparable", comparable)
        asked.equal("runs.hardware", hardware)
        asked.equal("runs.run_id", run_id)
        asked.tagged(tag)
        asked.having_cell(backend, model)
        sql = f"SELECT {tables.columns(RunRow, 'runs')} FROM runs {asked.where} ORDER BY number"  # noqa: S608 - our own words
        return self._whole(lambda: tables.rows(RunRow, self._connection.execute(sql, asked.values)))

    def cells(
        self,
        *,
        number: int | None = None,
        backend: str = "",
        model: str = "",
        clip: str = "",
        pcm_sha256: str = "",
        status: str = "",
        tag: str = "",
        comparable: str = "",
        hardware: str = "",
    ) -> list[CellRow]:
        """The cells that have all of what is given, in order of runs, and of places in each.

        Args:
            number: of their run.
            backend: as in ``runs``.
            model: canonical name.
            clip: its name.
            pcm_sha256: of the samples.
            status: as in ``CellResult``.
            tag: of their run.
            comparable: of their run.
            hardware: of their run.

        Raises:
            StorageError: the index cannot be read.
        """
        asked = Question()
        asked.equal("cells.number", number)
        asked.version_of("cells.backend", backend)
        asked.equal("cells.model", model)
        asked.equal("cells.clip", clip)
        asked.equal("cells.pcm_sha256", pcm_sha256)
        asked.equal("cells.status", status)
        asked.equal("runs.comparable", comparable)
        asked.equal("runs.hardware", hardware)
        asked.tagged(tag)
        sql = (
            f"SELECT {tables.columns(CellRow, 'cells')} FROM cells "  # noqa: S608 - our own words
            f"JOIN runs ON runs.number = cells.number {asked.where} "
            "ORDER BY cells.number, cells.place"
        )
        return self._whole(
            lambda: tables.rows(CellRow, self._connection.execute(sql, asked.values))
        )

    def _whole(self, action: Callable[[], _Found]) -> _Found:
        """Do something; where the database turns out to be damaged, once more on a new one."""
        try:
            return action()
        except sqlite3.DatabaseError as error:
            if not database.is_damage(error):
                raise database.unusable(self.path, error) from error
            why = str(error)
        try:
            self.renew(why)
            upkeep.refresh(self._connection)
            return action()
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error
