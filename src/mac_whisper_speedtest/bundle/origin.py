"""Where a run came from that was not measured here: ``origin.json`` beside its manifest."""

from __future__ import annotations

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.schema.record import Struct

NAME = "origin.json"


class MemberInfo(Struct, frozen=True, kw_only=True):
    """A file in a bundle: the SHA-256 of its bytes, and how many there are."""

    sha256: str
    bytes: int


class Origin(Struct, frozen=True, kw_only=True):
    """An import: when (ISO 8601, UTC), and of which bundle.

    ``bundle_sha256`` is of the zip file; ``members`` are the files in it, by name, which are the
    same however they were compressed.
    """

    imported_at: str
    bundle_sha256: str
    members: dict[str, MemberInfo]


def of(run: RunDirectory) -> Origin | None:
    """Where ``run`` came from; ``None`` for a run of this machine's.

    Raises:
        StorageError: the file is damaged, or cannot be read.
    """
    path = run.path / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Origin)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def write(run: RunDirectory, origin: Origin) -> None:
    """Write it down. Raises StorageError."""
    text = msgspec.json.format(msgspec.json.encode(origin), indent=2)
    files.write_bytes(run.path / NAME, text + b"\n")
