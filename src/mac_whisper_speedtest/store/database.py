"""Opening the index's database: one that is whole, ours and of this version, or a new one.

Whatever else lies there is set aside with a word about it and never read: nothing stands only in
the index, so it can always be made again from the runs.
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
"""How long one tool waits for another's transaction, which takes milliseconds."""
ASIDE = ".set-aside"
"""At the end of the name of what lay there and was no index; ``results gc`` takes it away."""
_BESIDE = ("-wal", "-shm", "-journal")


def opened(path: Path, notify: Callable[[str], None]) -> sqlite3.Connection:
    """The database at ``path``, which is made where there is none.

    Args:
        path: of the file.
        notify: told when what was there could not be used.

    Raises:
        StorageError: it can be neither read nor made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):  # tools that start at once would each find half of what another makes
            return _usable(path, notify)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error


def in_memory() -> sqlite3.Connection:
    """A database that goes when it is closed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _fill(connection)
    return connection


def made_anew(path: Path, why: str, notify: Callable[[str], None]) -> sqlite3.Connection:
    """The same after it turned out to be damaged. Raises StorageError."""
    try:
        with _alone(path):
            _set_aside(path, why, notify)
            return _usable(path, notify)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error


def unusable(path: Path | None, error: Exception) -> StorageError:
    """What to tell people of an index that cannot be used."""
    return StorageError(
        f"cannot use the index {path or 'in memory'}: {error}",
        hint="the runs are not touched by this; check the free disk space, then "
        "`speedtest results reindex`",
    )


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the database is not what it was made to be, rather than locked or out of space."""
    if isinstance(error, sqlite3.OperationalError):  # among others: there is no such table
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return not isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block's changes, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
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
    except UnicodeDecodeError as error:  # SQLite quotes what it cannot read
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
        _fill(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may take the last changes along; they are made again from the runs.
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            connection.close()
            raise  # if it is damaged, the next question says so again
    except UnicodeDecodeError:  # the message quotes a damaged table; likewise
        pass
    return connection


def _problem(connection: sqlite3.Connection) -> str:
    """Why the database cannot be used; empty where it can. Fills one that is empty."""
    (ours,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not (ours or version or objects):
        _fill(connection)
        return ""
    if ours != rows.APPLICATION_ID:
        return "it was not made by this program"
    if version == rows.VERSION:
        return ""
    # In place: a tool of the other version may have it open just now.
    with transaction(connection):
        for statement in rows.DROP:
            connection.execute(statement)
    _fill(connection)
    return ""


def _fill(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        for statement in rows.CREATE:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {rows.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {rows.VERSION}")


def _set_aside(path: Path, why: str, notify: Callable[[str], None]) -> None:
    """Take away what lies there; its log must not be played into the new one."""
    notify(f"the index {path} cannot be used ({why}); it is made anew from the runs")
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(path.name + ASIDE))
    for ending in _BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other tool opens this index; held until the block or the process ends."""
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            files.claim_handle(handle, wait=True)
        yield
    finally:
        os.close(handle)
