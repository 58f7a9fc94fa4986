"""Assembles published files in one folder, as a backend needs them, with a record.

WhisperKit reads its models and a tokenizer of another repository from one folder; FluidAudio
requires a certain folder name. The Hugging Face cache has no such folders, and its files are links,
so that Core ML may not recognize a model that it has compiled. The files therefore get a second
name in the tool's cache: a hard link, which takes no space, or a copy on a disk without them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from mac_whisper_speedtest import catalog, files
from mac_whisper_speedtest.catalog import LocationKind
from mac_whisper_speedtest.convert.record import FORMAT_VERSION, RECORD_NAME, FileRecord
from mac_whisper_speedtest.errors import WeightsMissingError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.weights.inspect import (
    CachedCopy,
    FoundFile,
    WeightsState,
    inspect_copy,
)
from mac_whisper_speedtest.weights.locations import assembled_folder, assembled_locations
from mac_whisper_speedtest.weights.verify import verified_hashes


class AssemblyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``provenance.json``, the record of an assembled folder.

    Attributes:
        format_version: of this record.
        upstream: the repositories at their commits.
        output_files: the files, by their paths in the model's folder.
    """

    format_version: int
    upstream: dict[str, str]
    output_files: tuple[FileRecord, ...]


def assemble(
    row: catalog.HostedWeights, pulled: CachedCopy, *, notify: Callable[[str], None]
) -> Path:
    """Assemble the pulled files of ``row`` in a folder of the tool's cache, once.

    The folder appears whole or not at all; an existing one stays unchanged.

    Args:
        row: of a format that is assembled.
        pulled: a complete copy in the Hugging Face cache, which is verified first.
        notify: receives each step before it starts.

    Returns:
        The folder with the record; the model's folder is in it.

    Raises:
        DamagedError: a pulled file is not the published one.
        StorageError: the cache cannot be written.
    """
    folder = assembled_folder(row)
    hint = "check the free disk space, or set SPEEDTEST_CACHE_DIR to another folder"
    with files.storage_errors(f"write {folder}", hint), files.locked(Path(f"{folder}.lock")):
        if folder.exists():
            return folder
        hashes = verified_hashes(
            pulled, row.model, row.format, by_hand=row.pull_command, fresh=False, row=row
        )
        notify(
            f"putting {row.model} together for {row.format}: {len(pulled.files)} files, "
            f"{megabytes(pulled.size_bytes, 1)}"
        )
        with files.staged_directory(folder) as staging:
            _fill(staging / (row.folder or row.model), pulled.files)
            record = _record(row, pulled.files, hashes)
            content = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
            (staging / RECORD_NAME).write_bytes(content)
    return folder


def usable_copy(row: catalog.HostedWeights, *, notify: Callable[[str], None]) -> CachedCopy:
    """The copy that a run uses: the tool's own, assembled now if possible; else the library's.

    The library's folder is read only if there is no other copy: on a Mac, reading the folder
    of documents may have to be allowed.

    Raises:
        WeightsMissingError: there is none.
        DamagedError, StorageError: as `assemble`.
    """
    own_place, pulled_place, library_place = assembled_locations(row)
    own = inspect_copy(own_place)
    if own.state is not WeightsState.ABSENT:
        return own
    pulled = inspect_copy(pulled_place)
    if pulled.state not in {WeightsState.ABSENT, WeightsState.PARTIAL}:
        assemble(row, pulled, notify=notify)
        return inspect_copy(own_place)
    library = inspect_copy(library_place)
    # The code that reads the files reports damage.
    if library.state in {WeightsState.COMPLETE, WeightsState.CORRUPT}:
        return library
    problem = f"; {library.problems[0]} in {library.location.where}" if library.problems else ""
    raise WeightsMissingError(
        f"no weights for {row.model} as {row.format} on this machine{problem}",
        hint=row.pull_command,
    )


def is_pinned(row: catalog.HostedWeights, copy: CachedCopy, hashes: Mapping[str, str]) -> bool:
    """Whether a verified copy has the pinned commits; for a library's copy: all pinned hashes."""
    if copy.location.kind is not LocationKind.LIBRARY:
        return True
    pinned = {file.name: file.sha256 for file in row.needed_files}
    return row.complete and all(pinned.get(name) == sha256 for name, sha256 in hashes.items())


def _fill(folder: Path, pulled: tuple[FoundFile, ...]) -> None:
    for file in pulled:
        place = folder / PurePosixPath(file.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        blob = file.path.resolve()
        try:
            os.link(blob, place)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(blob, place)


def _record(
    row: catalog.HostedWeights, pulled: tuple[FoundFile, ...], hashes: Mapping[str, str]
) -> AssemblyRecord:
    upstream = {"weights": row.place}
    if row.tokenizer is not None:
        upstream["tokenizer"] = f"{row.tokenizer.repository}@{row.tokenizer.revision}"
    described = (FileRecord(file.name, file.size, hashes[file.name]) for file in pulled)
    return AssemblyRecord(
        format_version=FORMAT_VERSION,
        upstream=upstream,
        output_files=tuple(sorted(described, key=lambda file: file.name)),
    )
