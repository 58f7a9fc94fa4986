"""Writing a run as one file to share: ``bundle.json``, ``journal.jsonl``, ``manifest.json``.

The same run gives the same bytes. docs/explanation/trust.md has the format, and what it leaves out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import redact
from mac_whisper_speedtest.bundle.container import (
    LARGEST_MEMBER,
    BundleError,
    Container,
    is_too_dense,
)
from mac_whisper_speedtest.bundle.leak_scan import LeakScanner
from mac_whisper_speedtest.bundle.members import (
    FORMAT,
    INFO,
    JOURNAL,
    MANIFEST,
    VERSION,
    BundleInfo,
    MemberInfo,
    WriterInfo,
)
from mac_whisper_speedtest.bundle.redact import Redactor
from mac_whisper_speedtest.bundle.validate import validated
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.version import __version__

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can state (APPNOTE 4.4.6)."""
_FILE_MODE = 0o100644 << 16
_UNIX = 3
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class BundleContents:
    """The content of a bundle of a run.

    Attributes:
        info: the text of ``bundle.json``, decoded.
        manifest: the bytes of ``manifest.json``.
        journal: a stream over ``journal.jsonl``, at its beginning.
    """

    info: BundleInfo
    manifest: bytes
    journal: IO[bytes]


def write_bundle(run: RunDirectory, path: Path, *, texts: bool = True) -> BundleInfo:
    """Write ``run`` as a bundle. After an error ``path`` is unchanged.

    Args:
        run: a run that is not being measured.
        path: the file; an existing one is replaced.
        texts: whether to include the texts of the user's own recordings. Without them the error
            rates cannot be computed.

    Returns:
        The content of ``bundle.json``.

    Raises:
        UsageError: the run is still running, is too large, would name its owner, or
            contains impossible values, so that the bundle would be refused.
        StorageError: the run is damaged, or the bundle cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=f"use -o {path / 'run.zip'}")
    with (
        bundle_contents(run, texts=texts, scratch=path.parent) as found,
        tempfile.TemporaryFile(dir=path.parent) as zipped,
    ):
        if any(map(is_too_dense, _write(found, zipped, zipfile.ZIP_DEFLATED))):
            _write(found, zipped, zipfile.ZIP_STORED)
        _check_readable(zipped, path)
        zipped.seek(0)
        with files.replacing(path) as stream:
            shutil.copyfileobj(zipped, stream)
    return found.info


def _check_readable(zipped: IO[bytes], path: Path) -> None:
    """Refuse a bundle that :func:`~.validate.validated` would refuse. Raises UsageError."""
    try:
        with Container(os.fdopen(os.dup(zipped.fileno()), "rb"), path) as container:
            validated(container)
    except BundleError as error:
        raise _refused(error.message) from error


def _refused(why: str) -> UsageError:
    return UsageError(
        f"nothing was written: a bundle of this run would be refused, because {why}",
        hint="measure again; if only this tool and its own backends took part, report a bug",
    )


def _write(found: BundleContents, stream: IO[bytes], method: int) -> list[zipfile.ZipInfo]:
    """Replace the content of ``stream`` by the bundle; return its members."""
    stream.seek(0)
    stream.truncate()
    found.journal.seek(0)
    with zipfile.ZipFile(stream, "w") as archive:
        add_member(archive, INFO, method, _pretty(found.info))
        entry = _entry(JOURNAL, found.info.members[JOURNAL].bytes, method)
        with archive.open(entry, "w") as member:
            while block := found.journal.read(_BLOCK):
                member.write(block)
        add_member(archive, MANIFEST, method, found.manifest)
    stream.flush()
    return archive.infolist()


@contextmanager
def bundle_contents(run: RunDirectory, *, texts: bool, scratch: Path) -> Iterator[BundleContents]:
    """The content of a bundle of ``run``, searched for secrets.

    Args:
        run: one that is not being written.
        texts: as for :func:`write_bundle`.
        scratch: a folder for a file without a name, as long as the journal.

    Raises:
        UsageError, StorageError: as :func:`write_bundle`.
    """
    if journal.is_being_written(run.journal_path):
        raise UsageError(
            f"run {directory.name_of(run)} is still being measured",
            hint="wait until it has ended",
        )
    manifest = run.manifest()
    redactor = Redactor(manifest, texts=texts)
    scanner = LeakScanner()
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as lines:
            digest = hashlib.sha256()
            for number, line in enumerate(_shared_lines(run, redactor), start=1):
                scanner.refuse(line, f"line {number} of the journal", s.Event)
                digest.update(line)
                lines.write(line)
            size = lines.tell()
            lines.seek(0)
            given = redactor.manifest()
            text = directory.pretty(given)
            scanner.refuse(text, "the manifest", s.Manifest)
            for name, there in ((JOURNAL, size), (MANIFEST, len(text))):
                if there > LARGEST_MEMBER[name]:
                    raise UsageError(
                        f"the run is too large for a bundle: its {name} has {there} bytes, and "
                        f"{LARGEST_MEMBER[name]} is the most that is read back"
                    )
            yield BundleContents(
                info=BundleInfo(
                    format=FORMAT,
                    version=VERSION,
                    tool=WriterInfo(name="mac-whisper-speedtest", version=__version__),
                    run_id=given.run_id,
                    texts_left_out=redact.texts_left_out(given),
                    members={
                        JOURNAL: MemberInfo(sha256=digest.hexdigest(), bytes=size),
                        MANIFEST: MemberInfo(
                            sha256=hashlib.sha256(text).hexdigest(), bytes=len(text)
                        ),
                    },
                ),
                manifest=text,
                journal=lines,
            )
    except OSError as error:
        raise StorageError(
            f"cannot write in {scratch}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def _shared_lines(run: RunDirectory, redactor: Redactor) -> Iterator[bytes]:
    """The journal's lines for the bundle.

    Damaged lines are left out; the last line of a whole journal then says how many there were.

    Raises:
        UsageError: a cell has a line that cannot have happened.
    """
    content = run.journal()
    for cell, lines in content.unusable.items():
        if cell:
            raise _refused(f"{lines} ({cell})")
    encoder = msgspec.json.Encoder()
    for line in content.lines:
        found: s.Event = redactor.event(line.event)
        if content.note and isinstance(found, s.RunEnded):
            message = "; ".join(filter(None, (found.message, content.note)))
            found = msgspec.structs.replace(found, message=message)
        when = b"" if line.at_s is None else b',"at_s":%.6f' % line.at_s
        yield encoder.encode(found)[:-1] + when + b"}\n"


def _entry(name: str, size: int, method: int) -> zipfile.ZipInfo:
    """A member without the time and system of its writing in its header."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = method
    entry.create_system = _UNIX
    entry.external_attr = _FILE_MODE
    entry.file_size = size
    return entry


def add_member(archive: zipfile.ZipFile, name: str, method: int, data: bytes) -> None:
    """Write a whole member."""
    archive.writestr(_entry(name, len(data), method), data)


def _pretty(info: BundleInfo) -> bytes:
    return msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"
