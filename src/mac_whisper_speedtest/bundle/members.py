"""The parts of a bundle: its members, ``bundle.json``, and the origin of an imported run."""

from __future__ import annotations

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.schema.base import Struct

FORMAT = "mac-whisper-speedtest bundle"
VERSION = 1
INFO, MANIFEST, JOURNAL, SEALED = "bundle.json", "manifest.json", "journal.jsonl", "run.json"
MEMBERS = (INFO, JOURNAL, MANIFEST)
"""The members that this tool writes, in this order. A ``run.json`` is allowed, but not trusted."""


class MemberInfo(Struct, frozen=True, kw_only=True):
    """A file in a bundle: its SHA-256 and its size in bytes."""

    sha256: str
    bytes: int


class WriterInfo(Struct, frozen=True, kw_only=True):
    """The program that wrote a bundle."""

    name: str
    version: str


class BundleInfo(Struct, frozen=True, kw_only=True):
    """The whole of ``bundle.json``."""

    format: str
    version: int
    tool: WriterInfo
    run_id: str
    texts_left_out: bool
    members: dict[str, MemberInfo]


class JournalLine(msgspec.Struct):
    """The time at which a journal line was written; the rest of the line is an event."""

    at_s: float | None = None


# The origin of an imported run: ``origin.json`` next to its manifest.

ORIGIN = "origin.json"


class ImportOrigin(Struct, frozen=True, kw_only=True):
    """An import: when (ISO 8601, UTC), and of which bundle.

    ``bundle_sha256`` is of the zip file; ``members`` are the files in it, by name, which are the
    same with any compression.
    """

    imported_at: str
    bundle_sha256: str
    members: dict[str, MemberInfo]


def read_origin(run: RunDirectory) -> ImportOrigin | None:
    """Where ``run`` came from; ``None`` for a run measured on this machine.

    Raises:
        StorageError: the file is damaged, or cannot be read.
    """
    path = run.path / ORIGIN
    try:
        return files.decode_json(path.read_bytes(), ImportOrigin)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def write_origin(run: RunDirectory, origin: ImportOrigin) -> None:
    """Write ``origin.json``. Raises StorageError."""
    text = msgspec.json.format(msgspec.json.encode(origin), indent=2)
    files.write_bytes(run.path / ORIGIN, text + b"\n")
