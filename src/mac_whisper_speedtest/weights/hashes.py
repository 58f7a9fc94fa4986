"""SHA-256 of files, streamed, several at a time, and remembered while the file is unchanged.

A file is unchanged while its path, size, modification time and inode are. The hash of a file that
was modified in the last `_SETTLED_S` is not remembered: the clock's resolution may hide a change.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mac_whisper_speedtest import files, paths

# Remembered hashes and loads, in a small database in the tool's cache. It can be rebuilt, so an
# unreadable or unwritable database is no error. It is private, because it lists local files; the
# database of another user is not trusted.

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
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    if not files.is_own(file):
        raise PermissionError(f"{file} belongs to another user")
    with contextlib.closing(sqlite3.connect(file, timeout=_WAIT_S)) as connection, connection:
        for table in _TABLES:
            connection.execute(table)
        yield connection


def query_facts(query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows of the answer; empty if the database cannot be read."""
    with contextlib.suppress(sqlite3.Error, OSError), _database() as database:
        return database.execute(query, values).fetchall()
    return []


def store_facts(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Store rows, all or none; none if the database cannot be written."""
    with contextlib.suppress(sqlite3.Error, OSError), _database() as database:
        database.executemany(statement, rows)


_BLOCK = 4 << 20
_READERS = 4
"""Files read at once: more would slow the disk down, and hashing uses one core per file."""
_SETTLED_S = 2.0


Identity = tuple[str, int, int, int]


def sha256_files(
    paths_to_hash: Sequence[Path],
    *,
    fresh: bool = False,
    progress: Callable[[int], None] = lambda _count: None,
) -> dict[Path, str | OSError]:
    """The SHA-256 of every file, or why it cannot be read.

    Args:
        paths_to_hash: each is hashed once, even if repeated.
        fresh: ignore remembered hashes.
        progress: receives the number of further bytes done, from several threads; remembered
            files count as done.
    """
    from concurrent.futures import ThreadPoolExecutor

    known: dict[Path, str | OSError] = {}
    to_read: list[Path] = []
    identities: dict[Path, Identity] = {}
    for path in dict.fromkeys(paths_to_hash):
        try:
            identities[path] = _identity(path)
        except OSError as error:
            known[path] = error
            continue
        remembered = None if fresh else _remembered(identities[path])
        if remembered is None:
            to_read.append(path)
        else:
            known[path] = remembered
            progress(identities[path][1])
    with ThreadPoolExecutor(max_workers=min(_READERS, os.cpu_count() or 1)) as pool:
        for path, digest in zip(
            to_read, pool.map(lambda each: _hashed(each, progress), to_read), strict=True
        ):
            known[path] = digest
            if isinstance(digest, str):
                _remember(path, identities[path], digest)
    return known


def _identity(path: Path) -> Identity:
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino


def _hashed(path: Path, progress: Callable[[int], None]) -> str | OSError:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                progress(len(block))
    except OSError as error:
        return error
    return digest.hexdigest()


def _remembered(identity: Identity) -> str | None:
    rows = query_facts(
        "select sha256 from sha256 where path = ? and size = ? and mtime_ns = ? and inode = ?",
        identity,
    )
    return str(rows[0][0]) if rows else None


def _remember(path: Path, before: Identity, digest: str) -> None:
    """Store a hash, unless the file changed during the hashing or may still be changing."""
    try:
        unchanged = _identity(path) == before
    except OSError:
        return
    if unchanged and time.time_ns() - before[2] > _SETTLED_S * 1e9:
        store_facts("insert or replace into sha256 values (?, ?, ?, ?, ?)", [(*before, digest)])
