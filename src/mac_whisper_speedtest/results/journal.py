"""The journal: one JSON object per line, each on the disk before the next thing is measured."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results.schema import Event


class Journal:
    """Appends events to a file. Use as a context manager.

    Raises:
        StorageError: from every write that the disk did not take.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoder = msgspec.json.Encoder()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            self._handle = os.open(path, flags, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        # Held until this process ends, however it ends: that is how others know that it still runs.
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

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
        line = self._encoder.encode(event) + b"\n"
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

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(
            f"cannot write the journal {self._path}: {error.strerror}",
            hint="what was measured so far is safe; free some disk space, then "
            "`speedtest show latest`",
        )


def is_being_written(path: Path) -> bool:
    """Whether a living tool still writes this journal."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # no journal yet, or a file system without locks
    return False


def read(path: Path) -> tuple[list[Event], int]:
    """Every whole event in a journal, in order, and how many damaged lines were passed over.

    A last line without its end was being written when the tool was killed; it is left out and not
    counted, because nothing had been promised about it yet.

    Raises:
        StorageError: the file cannot be read, or a whole line is not an event.
    """
    decoder = msgspec.json.Decoder(Event)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    events: list[Event] = []
    damaged = 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            events.append(decoder.decode(line))
        except msgspec.ValidationError as error:
            raise StorageError(f"{path} line {number}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged += 1  # a power cut can leave a hole; the lines after it are still good
    return events, damaged
