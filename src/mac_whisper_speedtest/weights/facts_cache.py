"""What was once found out about files, in one small database in the tool's cache.

Everything in it can be found out again: where it cannot be read or written, nothing is remembered
and nothing fails.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from mac_whisper_speedtest import paths

_WAIT_S = 5.0
_TABLES = (
    """create table if not exists sha256
    (path text primary key, size integer, mtime_ns integer, inode integer, sha256 text)
    without rowid""",
    "create table if not exists loads (key text primary key, outcome text) without rowid",
)


@contextlib.contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    file = paths.cache_dir() / "found-out.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(file, timeout=_WAIT_S)) as connection, connection:
        for table in _TABLES:
            connection.execute(table)
        yield connection


def ask(query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of the answer; none when the database cannot be read."""
    with contextlib.suppress(sqlite3.Error, OSError), _database() as database:
        return database.execute(query, values).fetchall()
    return []


def tell(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Write rows down, all or none; silently none when the database cannot be written."""
    with contextlib.suppress(sqlite3.Error, OSError), _database() as database:
        database.executemany(statement, rows)
