"""Run directories: ``<data>/runs/000042/{manifest.json, journal.jsonl, run.json}``.

The number orders runs; clocks do not. The three files are the whole run: they can be copied
to another machine and shown there.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mac_whisper_speedtest import files, limits, paths
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.results import digests
from mac_whisper_speedtest.results import journal as journals
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.results.schema import (
    SCHEMA_VERSION,
    UNRELEASED_VERSIONS,
    Manifest,
    Run,
)
from mac_whisper_speedtest.results.schema.base import Struct

# The numbers of runs: each is given once, to one tool, and never again.
#
# The folder with a number claims it. Removed numbers are remembered by a mark next to the folders,
# ``.last-000042``: an empty file, so that no mark has to be read before a higher one is written.


_MARK = ".last-"


def run_name(number: int) -> str:
    """The folder's name: at least six digits."""
    return f"{number:06d}"


def is_number(text: str) -> bool:
    """Whether ``text`` is a number as a person or a folder may have it."""
    return text.isascii() and text.isdigit()


def list_runs(root: Path) -> list[int]:
    """The numbers of the folders in ``root``, in order; none if ``root`` does not exist.

    Raises:
        OSError: it cannot be read.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(int(each.name) for each in root.iterdir() if is_number(each.name))
    return []


def claim(root: Path) -> Path:
    """Make the folder of the next number; two tools at once get two numbers.

    Raises:
        OSError: it cannot be made.
    """
    files.private_folder(root)  # transcripts can be private
    # The folders first: a number retired in between is then seen in one of the two.
    number = max([*list_runs(root), *_marks(root)], default=0)
    while True:
        number += 1
        path = root / run_name(number)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        files.sync_folder(root)
        return path


def retire(root: Path, number: int) -> None:
    """Ensure that neither ``number`` nor a lower one is claimed again.

    Raises:
        OSError: it cannot be written down.
    """
    (root / f"{_MARK}{run_name(number)}").touch()
    files.sync_folder(root)
    for lower in sorted(_marks(root))[:-1]:
        (root / f"{_MARK}{run_name(lower)}").unlink(missing_ok=True)


def _marks(root: Path) -> list[int]:
    found = (each.name.removeprefix(_MARK) for each in root.glob(f"{_MARK}*"))
    return [int(each) for each in found if is_number(each)]


_ID = re.compile(r"[0-9a-f]{8,32}")
"""A run id, or enough of one: fewer digits are too often a number or a word."""


class _ManifestHead(Struct):
    """The fields of a manifest that decide whether the rest can be read."""

    schema_version: int
    run_id: str = ""


class OutdatedRunError(StorageError):
    """An unreleased version of this tool wrote the run, in a format that is no longer read."""


OUTDATED = "was written by an unreleased version of this tool and is too old: measure again"


def is_outdated(schema_version: int, run_id: str) -> bool:
    """Whether an unreleased version of this tool wrote a manifest; its version 1 had no run ids."""
    return schema_version in UNRELEASED_VERSIONS or (schema_version == 1 and not run_id)


class _Names(Struct):
    """What of a manifest a run can be called by; the rest is not read."""

    run_id: str = ""
    tags: tuple[str, ...] = ()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector out: with 100 000 samples, half of the time to decode them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run on disk."""

    path: Path

    @property
    def manifest_path(self) -> Path:
        """What was known before the first sample."""
        return self.path / "manifest.json"

    @property
    def journal_path(self) -> Path:
        """The file of samples, written while they are measured."""
        return self.path / "journal.jsonl"

    @property
    def sealed_path(self) -> Path:
        """The run as one file, written when it has ended."""
        return self.path / "run.json"

    @property
    def recording_path(self) -> Path:
        """The recording from the microphone, if it was kept."""
        return self.path / "recording.wav"

    @property
    def number(self) -> int:
        """The run's place in the order of runs."""
        return int(self.path.name)

    def manifest(self) -> Manifest:
        """What was known before the first sample.

        Raises:
            OutdatedRunError: an unreleased version of this tool wrote it.
            StorageError: the file is missing or damaged, or a newer version wrote it.
        """
        path = self.manifest_path
        data = _bytes(path)
        head = digests.decoded(data, _ManifestHead, path)
        if is_outdated(head.schema_version, head.run_id):
            raise OutdatedRunError(f"{path} {OUTDATED}")
        if head.schema_version > SCHEMA_VERSION:
            raise StorageError(
                f"{path} has schema version {head.schema_version}; this tool reads up to "
                f"{SCHEMA_VERSION}",
                hint="install a newer mac-whisper-speedtest",
            )
        manifest = digests.decoded(data, Manifest, path)
        try:
            limits.check(manifest)
        except limits.LimitError as error:
            raise StorageError(f"{path} is damaged: {error}") from error
        unknown = {plan.clip for plan in manifest.cells} - {clip.name for clip in manifest.clips}
        if unknown:
            raise StorageError(f"{path} is damaged: it has no clip {shown(min(unknown))}")
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, before anything is measured. Raises StorageError."""
        files.write_bytes(self.manifest_path, pretty(manifest))

    def seal(self, run: Run) -> None:
        """Write the finished run, with the digests of its files.

        Raises:
            StorageError: it cannot be written, or its manifest is gone or damaged.
        """
        manifest, journal = self._measured()
        files.write_bytes(self.sealed_path, digests.sealed(run, manifest=manifest, journal=journal))

    @_uncollected()
    def sealed(self) -> Run | None:
        """The sealed run with its figures, where computing them again would give the same.

        That is where this very version of the tool sealed it, and no byte of its files has changed
        since; and only in this tool's own folder of runs, because a digest is no signature.
        """
        if self.path.resolve().parent != runs_dir().resolve():
            return None
        try:
            data = _bytes(self.sealed_path)
            manifest, journal = self._measured()
            if not digests.unchanged(data, manifest=manifest, journal=journal):
                return None
            return msgspec.structs.replace(msgspec.json.decode(data, type=Run), digests=None)
        except (StorageError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _measured(self) -> tuple[bytes, bytes]:
        """The bytes of the manifest and of the journal, which may be missing."""
        there = self.journal_path.exists()
        return _bytes(self.manifest_path), _bytes(self.journal_path) if there else b""

    def journal(self) -> journals.JournalContent:
        """What was measured, and which lines are left out. Raises StorageError."""
        return journals.read_journal(self.journal_path, self.manifest())

    @_uncollected()
    def replay(self) -> Run:
        """Assemble the run from its manifest and journal, even if the tool was killed.

        Raises:
            StorageError: the manifest is missing or damaged, or the journal cannot be read.
        """
        manifest = self.manifest()
        running = journals.is_being_written(self.journal_path)
        content = journals.read_journal(self.journal_path, manifest)
        try:
            return assemble(manifest, content.events, note=content.note, running=running)
        except (LookupError, TypeError, ValueError) as error:
            raise StorageError(
                f"{self.manifest_path} is damaged: {type(error).__name__}: {error}"
            ) from error


def runs_dir() -> Path:
    """The folder of all runs."""
    return paths.data_dir() / "runs"


def every() -> list[RunDirectory]:
    """Every run in the data folder, in order: the folders that have a manifest.

    Raises:
        StorageError: the folder cannot be read.
    """
    return [run for run in _folders() if run.manifest_path.is_file()]


def newest_names(most: int) -> list[tuple[int, tuple[str, ...]]]:
    """The numbers and tags of the newest runs, the newest first. Raises StorageError."""
    return [(run.number, _names(run).tags) for run in every()[: -most - 1 : -1]]


def create() -> RunDirectory:
    """Make the next run's directory; two tools at once get two numbers.

    Raises:
        StorageError: no folder can be made there.
    """
    try:
        return RunDirectory(claim(runs_dir()))
    except OSError as error:
        raise StorageError(
            f"cannot create a run in {runs_dir()}: {error.strerror}",
            hint="set SPEEDTEST_DATA_DIR to a folder you can write to",
        ) from error


def find(name: str) -> RunDirectory:
    """The run called ``name``.

    Args:
        name: ``latest``; a number; a tag, for the latest run that has it; a run id, or 8 and more
            of its first digits; or a path to a run directory or to a file in one.

    Raises:
        UsageError: there is no such run, or more than one.
        StorageError: the folder of runs cannot be read.
    """
    if name == "latest":
        return _latest()
    if is_number(name):
        run = RunDirectory(runs_dir() / run_name(int(name)))
        if run.manifest_path.is_file():
            return run
    found = [] if os.sep in name else _called(name)
    here = _at(name)
    if here is not None and not any(run.path.samefile(here.path) for run, _ in found):
        found.append((here, "the folder of that name"))
    if len(found) > 1:
        candidates = "; ".join(f"{name_of(run)} ({why})" for run, why in found)
        raise UsageError(f"{name!r} is more than one run", hint=f"use one of {candidates}")
    if not found:
        raise _unknown(name)
    return found[0][0]


def name_of(run: RunDirectory) -> str:
    """What to call ``run`` on the command line: its number, or its path if it is elsewhere."""
    ours = run.path.parent == runs_dir() and is_number(run.path.name)
    return str(run.number) if ours else str(run.path)


def pretty(value: Manifest | Run) -> bytes:
    """JSON for people: indented, one trailing newline, no NaN."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _folders() -> list[RunDirectory]:
    """Every folder that has a number, in order; a tool may have died before the manifest."""
    root = runs_dir()
    try:
        return [RunDirectory(root / run_name(each)) for each in list_runs(root)]
    except OSError as error:
        raise StorageError(f"cannot read {root}: {error.strerror}") from error


def _latest() -> RunDirectory:
    for run in reversed(_folders()):
        if run.manifest_path.is_file():
            return run
    raise UsageError("no runs yet", hint="make one: speedtest run --model tiny.en")


def _at(name: str) -> RunDirectory | None:
    """The run in the folder ``name``, or in the folder of the file ``name``."""
    path = Path(name)
    try:
        run = RunDirectory(path.parent if path.is_file() else path)
        return run if run.manifest_path.is_file() else None
    except (OSError, ValueError):  # not a path: too long, or with a NUL in it
        return None


def _called(name: str) -> list[tuple[RunDirectory, str]]:
    """The runs with ``name`` as tag or id, and which it is; of a tag only the latest."""
    found: list[tuple[RunDirectory, str]] = []
    is_id = _ID.fullmatch(name.lower())
    tagged = False
    for run in reversed(_folders()):
        names = _names(run)
        if not tagged and name in names.tags:
            tagged = True
            found.append((run, f"the latest with the tag {name}"))
            if not is_id:
                break
        elif is_id and names.run_id.startswith(name.lower()):
            found.append((run, f"run id {names.run_id}"))
    return found


def _names(run: RunDirectory) -> _Names:
    """The names of a run; empty if its manifest cannot be read."""
    try:
        return digests.decoded(_bytes(run.manifest_path), _Names, run.manifest_path)
    except StorageError:
        return _Names()


def _unknown(name: str) -> UsageError:
    runs = every()
    if is_number(name):
        known = f"the last is {runs[-1].number}" if runs else "there is none yet"
        return UsageError(f"there is no run {int(name)}", hint=known)
    tags = sorted({tag for run in runs for tag in _names(run).tags})
    there = f"; the tags are {', '.join(tags)}" if tags else ""
    return UsageError(
        f"{name!r} is not a run",
        hint="use latest, a number, a tag, a run id (its first 8 digits suffice) or a directory"
        + there,
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
