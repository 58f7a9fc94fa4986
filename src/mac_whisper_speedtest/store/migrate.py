"""Sealing runs anew: those of older versions, those whose tool was killed, those without digests.

The manifest and the journal stay as they were written; they are the facts. Only ``run.json``, which
is computed from them, is written, in one step.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results import seal
from mac_whisper_speedtest.results.directory import RunDirectory, pretty
from mac_whisper_speedtest.store import entry as reading


@dataclass(frozen=True, slots=True)
class Migration:
    """What is to be done about one run.

    Attributes:
        run: the directory.
        why: what is not as the present version would seal it; empty where nothing is to be done.
        sealed: what is to be sealed; ``None`` where nothing is, or it must not be.
        refused: why it must not be; empty where it may.
    """

    run: RunDirectory
    why: str = ""
    sealed: s.Run | None = None
    refused: str = ""


def plan(run: RunDirectory) -> Migration:
    """What is to be done about ``run``. Writes nothing."""
    try:
        computed = reading.computed(run)
        why = _why(run, computed)
    except StorageError as error:
        return Migration(run, refused=error.message)
    except OSError as error:
        return Migration(run, refused=f"cannot read {run.path}: {error.strerror}")
    return Migration(run, why, computed if why else None)


def carry_out(migration: Migration) -> None:
    """Write ``run.json`` anew, if that is to be done. Raises StorageError."""
    if migration.sealed is not None:
        migration.run.seal(migration.sealed)


def _why(run: RunDirectory, computed: s.Run) -> str:
    """Why a run is to be sealed; empty where it is sealed as the present version would do it.

    Raises:
        StorageError: it must not be sealed.
        OSError: a file cannot be read.
    """
    if computed.manifest.outcome is not None and computed.manifest.outcome.state == "running":
        raise StorageError("it is being written just now")
    if not run.sealed_path.exists():
        return "it is not sealed"
    old, manifest = run.sealed_path.read_bytes(), run.manifest_path.read_bytes()
    lines = run.journal_path.read_bytes() if run.journal_path.exists() else b""
    known = _known(old)
    if known.schema_version > s.SCHEMA_VERSION:
        raise StorageError(
            f"run.json has schema version {known.schema_version}; this tool writes "
            f"{s.SCHEMA_VERSION}"
        )
    if known.digests is not None and _changed(known.digests, manifest, lines):
        raise StorageError(
            "its manifest or journal has changed since it was sealed; "
            "`speedtest results verify` says which"
        )
    if known.schema_version < s.SCHEMA_VERSION:
        return f"it was sealed by schema version {known.schema_version}"
    if old == pretty(seal.sealed(computed, manifest=manifest, journal=lines)):
        return ""
    return "this version computes or writes it otherwise"


def _changed(sealed: s.DigestsInfo, manifest: bytes, journal: bytes) -> bool:
    """Whether the facts are no longer those that a run was sealed with, nor these gone on with."""
    if sealed.manifest != seal.of_manifest(manifest):
        return True
    return sealed.journal != seal.of_journal(journal) and not seal.goes_on(journal, sealed.journal)


class _Known(s.Struct, frozen=True, kw_only=True):
    """What of an older ``run.json`` is of interest; all the rest is computed anew."""

    schema_version: int = 0
    digests: s.DigestsInfo | None = None


def _known(data: bytes) -> _Known:
    try:
        return msgspec.json.decode(data, type=_Known)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Known()  # damaged: nothing in it is needed
