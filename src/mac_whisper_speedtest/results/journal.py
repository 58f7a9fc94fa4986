"""The journal: one JSON object per line, each on the disk before the next thing is measured.

Every line also says when it was written: ``at_s``, seconds since the tool that wrote it opened the
journal. That belongs to the line, not to the event in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results.schema import DigestsInfo, Event, Run

_BLOCK = 1 << 16
_TRIES, _PAUSE_S = 20, 0.05
"""One second in all, which is far longer than anybody holds the lock to look."""

_Read = TypeVar("_Read")


class Journal:
    """Appends events to a file. Use as a context manager.

    An existing file is continued after its last complete line.

    Args:
        path: the file.
        clock: seconds from any beginning, which never goes back.

    Raises:
        StorageError: from every write that the disk did not take.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        try:
            self._handle = os.open(path, flags, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._claim()
            self._cut_off_unfinished_line()
        except OSError as error:
            os.close(self._handle)
            raise self._refused(error) from error
        except StorageError:
            os.close(self._handle)
            raise
        self._opened_s = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def append(self, event: Event) -> None:
        """Write one event and wait until the disk has it."""
        # Every event has its tag at least, so that there is something before the comma.
        at_s = self._clock() - self._opened_s
        line = self._encoder.encode(event)[:-1] + b',"at_s":%.6f}\n' % at_s
        whole = os.fstat(self._handle).st_size
        try:
            while line:
                line = line[os.write(self._handle, line) :]
            os.fsync(self._handle)
        except OSError as error:
            # A full disk may have taken half a line; the next one must not be glued to it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, whole)
            raise self._refused(error) from error

    def _claim(self) -> None:
        """Lock the file until this process ends, however it ends: others then know that it runs."""
        for _ in range(_TRIES):
            try:
                if files.claim_handle(self._handle):
                    return
            except OSError:
                return  # a file system without locks
            time.sleep(_PAUSE_S)  # perhaps somebody only looks whether it is locked
        raise StorageError(
            f"another speedtest is writing {self._path}",
            hint="wait until it has ended; `speedtest show latest` shows what it has so far",
        )

    def _cut_off_unfinished_line(self) -> None:
        """Take away what a killed tool had begun: the next line must not be glued to it."""
        size = kept = os.fstat(self._handle).st_size
        while kept:
            begin = max(kept - _BLOCK, 0)
            newline = os.pread(self._handle, kept - begin, begin).rfind(b"\n")
            if newline >= 0:
                kept = begin + newline + 1
                break
            kept = begin
        if kept < size:
            os.ftruncate(self._handle, kept)

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(
            f"cannot write the journal {self._path}: {error.strerror}",
            hint="what was measured so far is safe; free some disk space, then type the same again "
            "with --resume",
        )


def is_being_written(path: Path) -> bool:
    """Whether a living tool still writes this journal."""
    try:
        with path.open("rb") as stream:
            return not files.claim_handle(stream.fileno(), shared=True)
    except OSError:
        return False  # no journal yet, or a file system without locks


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """A line of a journal.

    Attributes:
        at_s: seconds since the tool that wrote it opened the journal; ``None`` where it has none.
            It restarts at a ``Resumed`` event, which another process wrote.
        event: what happened.
    """

    at_s: float | None
    event: Event


class _Envelope(msgspec.Struct):
    at_s: float | None = None


def read_journal(path: Path) -> tuple[list[Event], int]:
    """Every whole event in a journal, in order, and how many damaged lines were passed over.

    A last line without its end was being written when the tool was killed; it is left out and not
    counted, because nothing had been promised about it yet.

    Raises:
        StorageError: the file cannot be read, or a whole line is not an event.
    """
    return _lines(path, msgspec.json.Decoder(Event).decode)


def read_timed(path: Path) -> list[TimedEvent]:
    """Every whole event in a journal, in order, with when it was written.

    Raises:
        StorageError: the file cannot be read, or a whole line is not an event.
    """
    event, envelope = msgspec.json.Decoder(Event), msgspec.json.Decoder(_Envelope)
    found, _damaged = _lines(
        path, lambda line: TimedEvent(at_s=envelope.decode(line).at_s, event=event.decode(line))
    )
    return found


def _lines(path: Path, decode: Callable[[bytes], _Read]) -> tuple[list[_Read], int]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    found: list[_Read] = []
    damaged = 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            found.append(decode(line))
        except msgspec.ValidationError as error:
            raise StorageError(f"{path} line {number}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged += 1  # a power cut can leave a hole; the lines after it are still good
    return found, damaged


# Digests of what is written down: SHA-256 over canonical JSON.
#
# Canonical means: keys sorted, no white space, UTF-8 as it is, numbers as the shortest text that
# reads back as the same number, and nothing but the strict primitives of JSON. The same facts have
# the same digest, however a file was indented and in whatever order its fields came.


def canonical(value: object) -> bytes:
    """``value``, which JSON can hold or which is a struct of the schema, as canonical JSON.

    Raises:
        StorageError: it holds NaN, an infinity, or something that JSON has no form for.
    """
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
        return json.dumps(
            plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (TypeError, ValueError) as error:
        raise StorageError(f"this cannot be written as JSON: {error}") from error


def sha256(value: object) -> str:
    """The SHA-256 of ``value``'s canonical JSON, 64 hexadecimal digits. Raises StorageError."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_lines(values: Iterable[object]) -> str:
    """The SHA-256 over each value's canonical JSON and a newline, in order. Raises StorageError."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(canonical(value) + b"\n")
    return digest.hexdigest()


# What a run's files held when it was sealed, as digests. Pure functions of the files' bytes.


def of_manifest(data: bytes) -> str:
    """The digest of ``manifest.json``, however it is indented.

    Raises:
        StorageError: it is not JSON.
    """
    return sha256(_parsed(data, "manifest.json"))


def of_journal(data: bytes) -> str:
    """The digest of the whole lines of ``journal.jsonl``; damaged ones are left out."""
    return sha256_lines(_decoded_lines(data))


def of_run(data: bytes) -> str:
    """The digest of ``run.json`` without its ``digests``.

    Raises:
        StorageError: it is not a JSON object.
    """
    content = _parsed(data, "run.json")
    if not isinstance(content, dict):
        raise StorageError("run.json is damaged: it holds no object")
    return sha256({name: each for name, each in content.items() if name != "digests"})


def of_request(manifest: bytes) -> str:
    """The digest of the request in ``manifest.json``: its ``request_sha256``.

    Raises:
        StorageError: it is no manifest.
    """
    content = _parsed(manifest, "manifest.json")
    if not isinstance(content, dict) or "request" not in content:
        raise StorageError("manifest.json is damaged: it has no request")
    return sha256(content["request"])


def goes_on(journal: bytes, sealed_as: str) -> bool:
    """Whether a journal is one that was sealed, and then taken up again (``--resume``).

    Args:
        journal: the bytes of ``journal.jsonl``.
        sealed_as: the digest that it was sealed with.
    """
    lines = list(_decoded_lines(journal))
    return any(
        isinstance(line, dict)
        and line.get("event") == "resumed"
        and sha256_lines(lines[:number]) == sealed_as
        for number, line in enumerate(lines)
    )


def sealed(run: Run, *, manifest: bytes, journal: bytes) -> Run:
    """``run`` with the digests that it is sealed with.

    Args:
        run: with its summaries.
        manifest: the bytes of its ``manifest.json``.
        journal: those of its ``journal.jsonl``.

    Raises:
        StorageError: the manifest is not JSON.
    """
    return msgspec.structs.replace(
        run,
        digests=DigestsInfo(
            manifest=of_manifest(manifest),
            journal=of_journal(journal),
            run=of_run(msgspec.json.encode(run)),
        ),
    )


def _parsed(data: bytes, name: str) -> object:
    try:
        found: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{name} is damaged: {error}") from error
    return found


def _decoded_lines(data: bytes) -> Iterator[object]:
    """As ``journal.read`` goes through them: a last line without its end is none."""
    for line in data.split(b"\n")[:-1]:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
