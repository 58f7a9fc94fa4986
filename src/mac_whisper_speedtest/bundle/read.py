"""Reads bundles from other people, and imports them as runs into this machine's folder.

Nothing in a bundle is trusted. A file that is not a zip file with three known members is refused
before any decompression. Every line is checked against the schema and for plausibility, and every
figure is recomputed. A summary in the bundle is only compared, and refused if it is wrong.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import members, write
from mac_whisper_speedtest.bundle.container import Container
from mac_whisper_speedtest.bundle.members import JOURNAL, MANIFEST, BundleInfo, ImportOrigin
from mac_whisper_speedtest.bundle.validate import ValidatedBundle, counted, opened
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory

_STAGING = ".import"


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import.

    Attributes:
        run: its directory.
        new: whether this import created the run; else it existed before.
    """

    run: RunDirectory
    new: bool


class _Named(msgspec.Struct):
    run_id: str = ""


def read_bundle(path: Path) -> s.Run:
    """The run in a bundle, with every figure computed here. Nothing is written anywhere.

    Raises:
        UsageError: there is no such file, or it is refused; the message gives the reason.
        StorageError: it cannot be read.
    """
    return read_validated(path).run


def read_validated(path: Path) -> ValidatedBundle:
    """As :func:`read_bundle`, with the other results of the checks."""
    with opened(path) as (found, _container):
        return found


def import_bundle(path: Path) -> RunDirectory:
    """Import a bundle, unless it was imported before; return its run in this machine's folder.

    Raises:
        UsageError, StorageError: as :func:`import_verified`.
    """
    return import_verified(path).run


def import_verified(path: Path) -> Imported:
    """Import a bundle, once.

    Raises:
        UsageError: as :func:`read_bundle`; or there is a run of the same id with other
            content.
        StorageError: it cannot be read, or the run cannot be written.
    """
    root = directory.runs_dir()
    with opened(path) as (found, container):
        try:
            # One import at a time: two imports of one bundle must not both find it new.
            with files.locked(root / f"{_STAGING}.lock"):
                there = _with_id(found.info.run_id)
                if there is not None:
                    _check_same(there, found, path)
                    return Imported(there, new=False)
                return Imported(_written(found, container, root / _STAGING), new=True)
        except OSError as error:
            raise StorageError(
                f"cannot import into {root}: {error.strerror or error}",
                hint="check the free disk space and the permissions of that folder",
            ) from error


def _with_id(run_id: str) -> RunDirectory | None:
    """The run with this id in this machine's folder."""
    for run in directory.every():
        with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            if msgspec.json.decode(run.manifest_path.read_bytes(), type=_Named).run_id == run_id:
                return run
    return None


def _check_same(there: RunDirectory, found: ValidatedBundle, path: Path) -> None:
    """Refuse a bundle that has the id of an existing run, but other content."""
    known = members.read_origin(there)
    if known is not None:
        same = known.members == found.info.members
    else:  # it was measured here; the bundle may be an export of it
        texts = not found.info.texts_left_out
        with write.bundle_contents(there, texts=texts, scratch=there.path.parent) as own:
            same = own.info.members == found.info.members
    if not same:
        raise UsageError(
            f"{path} has the id of run {directory.name_of(there)} ({found.info.run_id}), but other "
            "content",
            hint=f"compare both: speedtest show {directory.name_of(there)}; to import the bundle "
            "instead, remove that run first",
        )


def _written(found: ValidatedBundle, container: Container, staging: Path) -> RunDirectory:
    """The bundle as a run directory: filled elsewhere, then put in the place of an empty one."""
    shutil.rmtree(staging, ignore_errors=True)  # the rest of a killed import
    staging.mkdir(mode=0o700)
    try:
        filled = RunDirectory(staging)
        for name in (MANIFEST, JOURNAL):
            _copy(container, name, staging / name, found.info)
        members.write_origin(
            filled,
            ImportOrigin(
                imported_at=datetime.now(UTC).isoformat(timespec="seconds"),
                bundle_sha256=found.sha256,
                members=found.info.members,
            ),
        )
        filled.seal(found.run)
        run = directory.create()
        try:
            staging.replace(run.path)  # POSIX: onto an empty folder, in one step
        except BaseException:
            with contextlib.suppress(OSError):
                run.path.rmdir()
            raise
        files.sync_folder(run.path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return run


def _copy(container: Container, name: str, path: Path, info: BundleInfo) -> None:
    """Write a member unchanged. Raises OSError, BundleError."""
    with files.replacing(path) as stream:
        for block in counted(container, name, info):
            stream.write(block)
