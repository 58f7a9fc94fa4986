"""Opens the index's database, or creates a new one in place of one that cannot be used.

A damaged or foreign file is set aside with a notice and never read: the index contains nothing that
cannot be computed again from the runs.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.store import rows

BUSY_S = 30.0
"""How long to wait for another process's transaction, which takes milliseconds."""
SET_ASIDE = ".set-aside"
"""Suffix of a file that was set aside; ``results gc`` removes it."""
_SIDE_FILES = ("-wal", "-shm", "-journal")


def open_database(path: Path, notify: Callable[[str], None]) -> sqlite3.Connection:
    """The database at ``path``, created if there is none.

    Args:
        path: of the file.
        notify: called with a message if the existing file cannot be used.

    Raises:
        StorageError: it can be neither read nor created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(path):  # else another process could see a database that is half created
            return _usable(path, notify)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error


def in_memory() -> sqlite3.Connection:
    """A database in memory, which is lost when it is closed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _create_tables(connection)
    return connection


def recreate(path: Path, why: str, notify: Callable[[str], None]) -> sqlite3.Connection:
    """A new database in place of the damaged one at ``path``. Raises StorageError."""
    try:
        with _exclusive(path):
            _set_aside(path, why, notify)
            return _usable(path, notify)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error


def unusable(path: Path | None, error: Exception) -> StorageError:
    """The error for an index that cannot be used."""
    return StorageError(
        f"cannot use the index {path or 'in memory'}: {error}",
        hint="the runs are unharmed; check the free disk space, then: speedtest results reindex",
    )


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the database itself is damaged, rather than locked or out of space."""
    if isinstance(error, sqlite3.OperationalError):  # among others: there is no such table
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return not isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Apply all of the block's changes, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk rolls back automatically
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _usable(path: Path, notify: Callable[[str], None]) -> sqlite3.Connection:
    connection = _connected(path)
    try:
        why = _problem(connection)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            connection.close()
            raise
        why = str(error)
    except UnicodeDecodeError as error:  # SQLite's message quotes undecodable bytes
        why = f"its tables are damaged: {error}"
    except BaseException:
        connection.close()
        raise
    if not why:
        return connection
    connection.close()
    _set_aside(path, why, notify)
    connection = _connected(path)
    try:
        _create_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite itself would let all read it
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last changes; they are computed again from the runs.
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            connection.close()
            raise  # damage is reported by the next query as well
    except UnicodeDecodeError:  # likewise; the message quotes a damaged table
        pass
    return connection


def _problem(connection: sqlite3.Connection) -> str:
    """Why the database cannot be used; empty if it can. Creates the tables in an empty one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not (application or version or objects):
        _create_tables(connection)
        return ""
    if application != rows.APPLICATION_ID:
        return "it was not created by this program"
    if version == rows.VERSION:
        return ""
    # In place, because a tool of the other version may have it open.
    with transaction(connection):
        for statement in rows.DROP:
            connection.execute(statement)
    _create_tables(connection)
    return ""


def _create_tables(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        for statement in rows.CREATE:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {rows.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {rows.VERSION}")


def _set_aside(path: Path, why: str, notify: Callable[[str], None]) -> None:
    """Set the file aside, and remove its log, which must not be replayed into the new database."""
    notify(f"the index {path} cannot be used ({why}); it is rebuilt from the runs")
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(path.name + SET_ASIDE))
    for suffix in _SIDE_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process opens this index, and lock it until the block or process ends."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            files.claim_handle(handle, wait=True)
        yield
    finally:
        os.close(handle)
