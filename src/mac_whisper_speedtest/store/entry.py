"""Reads a run's directory into its rows of the index, if they are out of date."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import digests
from mac_whisper_speedtest.results.directory import OutdatedRunError, RunDirectory
from mac_whisper_speedtest.store import rows
from mac_whisper_speedtest.store.rows import CellRow, FilesRow, RunRow
from mac_whisper_speedtest.summary.figures import with_figures


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """All rows of one run."""

    run: RunRow
    cells: tuple[CellRow, ...]
    files: FilesRow


def read_entry(run: RunDirectory, before: FilesRow | None) -> IndexEntry | FilesRow | None:
    """The rows of a run that need an update.

    A run that cannot be read gets an entry too, with its own state: it is neither hidden nor
    read again before it changes.

    Args:
        run: the directory.
        before: its files when its rows were computed; ``None`` to compute them in any case.

    Returns:
        All rows; or only the files' row, if their content is the same, as after a copy; or ``None``
        if they were not touched.
    """
    # The state of the files and their digest come before the run is read, so that a change during
    # the reading causes another one.
    now = _files(run)
    if before is not None and before.computed_by == digests.computed_by():
        if now == replace(before, sha256=""):
            return None
        now = replace(now, sha256=_sha256(run))
        if now.sha256 == before.sha256:
            return now
    now = replace(now, sha256=now.sha256 or _sha256(run))
    row, cells = _read(run)
    return IndexEntry(row, tuple(cells), now)


def _read(run: RunDirectory) -> tuple[RunRow, list[CellRow]]:
    sealed = run.sealed_path.is_file()
    try:
        return rows.index_rows(with_figures(run), number=run.number, sealed=sealed)
    except StorageError as error:
        state = rows.OUTDATED if isinstance(error, OutdatedRunError) else rows.UNREADABLE
        why = scrub(error.message)
        return RunRow(number=run.number, state=state, message=why, sealed=sealed), []


def _files(run: RunDirectory) -> FilesRow:
    """The present state of a run's files, without their digest."""
    manifest, journal = _status(run.manifest_path), _status(run.journal_path)
    return FilesRow(
        number=run.number,
        manifest_size=manifest[0],
        manifest_mtime_ns=manifest[1],
        journal_size=journal[0],
        journal_mtime_ns=journal[1],
        sha256="",
        computed_by=digests.computed_by(),
    )


def _status(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time in ns; zeros if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _sha256(run: RunDirectory) -> str:
    """Over the bytes of the manifest and of the journal, each after its length."""
    digest = hashlib.sha256()
    for path in (run.manifest_path, run.journal_path):
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
