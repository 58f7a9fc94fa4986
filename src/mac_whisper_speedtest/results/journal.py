"""The journal: one JSON object per line, each on the disk before the next thing is measured.

Every line also says when it was written: ``at_s``, seconds since the tool that wrote it opened the
journal. That belongs to the line, not to the event in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import msgspec

from mac_whisper_speedtest import files, limits
from mac_whisper_speedtest.errors import ErrorClass, StorageError
from mac_whisper_speedtest.limits import LONGEST_LINE, LONGEST_MESSAGE, LONGEST_S, LimitError
from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.results.plausible import EventChecker, ImplausibleError
from mac_whisper_speedtest.results.schema import Event, Manifest, RoundSkipped, RunEnded

_BLOCK = 1 << 16
_TRIES, _PAUSE_S = 20, 0.05
"""One second in all, far longer than another process holds the lock to check it."""


class LostJournalError(StorageError):
    """The journal was removed while it was written; it was restored with its whole content."""


class Journal:
    """Appends events to a file. Use as a context manager.

    An existing file is continued after its last complete line. A file that was removed or moved
    away meanwhile is written again at the next event, in its folder or a new one.

    Args:
        path: the file.
        clock: seconds from any beginning, which never goes back.

    Raises:
        LostJournalError: from the first write after it was removed.
        StorageError: from every write that the disk did not take.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self._handle = self._opened()
        self._opened_s = clock()

    def _opened(self) -> int:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._claim(handle)
            _cut_off_unfinished_line(handle)
        except OSError as error:
            os.close(handle)
            raise self._refused(error) from error
        except StorageError:
            os.close(handle)
            raise
        return handle

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
            files.sync(self._handle)
        except OSError as error:
            # A full disk may have taken half a line; the next one must not be glued to it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, whole)
            raise self._refused(error) from error
        if not self._is_there():
            self._restore()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._handle))
        except OSError:
            return False

    def _restore(self) -> None:
        """Restore the file from this process's open handle. Always raises."""
        held = os.pread(self._handle, os.fstat(self._handle).st_size, 0)
        files.write_bytes(self._path, held)
        os.close(self._handle)
        self._handle = self._opened()
        raise LostJournalError(
            f"{self._path} was removed or moved away while it was written; it was restored "
            "with all measurements",
            hint="nothing is lost: repeat the command with --resume",
        )

    def _claim(self, handle: int) -> None:
        """Lock the file until this process ends: others then know that it runs."""
        for _ in range(_TRIES):
            try:
                if files.claim_handle(handle):
                    return
            except OSError:
                return  # a file system without locks
            time.sleep(_PAUSE_S)  # another process may only be checking the lock
        raise StorageError(
            f"another speedtest is writing {self._path}",
            hint="wait until it has ended; `speedtest show latest` shows what it has so far",
        )

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(
            f"cannot write the journal {self._path}: {error.strerror}",
            hint="all measurements so far are safe; free some disk space, then repeat the command "
            "with --resume",
        )


def _cut_off_unfinished_line(handle: int) -> None:
    """Remove a line that a killed tool had begun: the next line must not be appended to it."""
    size = kept = os.fstat(handle).st_size
    while kept:
        begin = max(kept - _BLOCK, 0)
        newline = os.pread(handle, kept - begin, begin).rfind(b"\n")
        if newline >= 0:
            kept = begin + newline + 1
            break
        kept = begin
    if kept < size:
        os.ftruncate(handle, kept)


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
        at_s: seconds since the tool that wrote it opened the journal, or ``None``.
            It restarts at a ``Resumed`` event, which another process wrote.
        event: what happened.
    """

    at_s: float | None
    event: Event


_ROUND = msgspec.Meta(ge=0, le=limits.MOST_ITEMS)


class _Envelope(msgspec.Struct):
    at_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)] | None = None


@dataclass(frozen=True, slots=True)
class UnusableLines:
    """Lines of one cell that are left out.

    Attributes:
        count: how many.
        number: of the first of them, from 1.
        round: of the line; 0 if it names none.
        problem: what is wrong with it.
    """

    count: int
    number: int
    round: int
    problem: str

    def __str__(self) -> str:
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"line {self.number} of the journal: {self.problem}{more}"


@dataclass(frozen=True, slots=True)
class JournalContent:
    """The content of a journal.

    Attributes:
        lines: every event that can have happened, in order; and for each cell with unusable lines
            an event by which it violated the protocol.
        unusable: a cell's id → its invalid lines; lines of no cell are under ``""``.
    """

    lines: list[TimedEvent] = field(default_factory=list)
    unusable: dict[str, UnusableLines] = field(default_factory=dict)

    @property
    def events(self) -> list[Event]:
        """The events without their times."""
        return [line.event for line in self.lines]

    @property
    def note(self) -> str:
        """How many lines are left out, in words; empty if none is."""
        count = sum(each.count for each in self.unusable.values())
        return f"{count} damaged journal lines were left out" if count else ""


def read_journal(path: Path, manifest: Manifest | None = None) -> JournalContent:
    """Read a journal with any content.

    A last line without its end was being written when the tool was killed; it is left out and not
    counted, because it was not yet confirmed. One event is in memory at a time
    beside those that are returned.

    Args:
        path: of the journal; a missing one is empty.
        manifest: of the run; without it, events are not checked against the run.

    Raises:
        StorageError: the file cannot be read.
    """
    found = JournalContent()
    event, envelope = msgspec.json.Decoder(Event), msgspec.json.Decoder(_Envelope)
    checker = EventChecker(manifest) if manifest is not None else None
    try:
        for number, line in enumerate(_whole_lines(path), start=1):
            try:
                limits.check_depth(line)
                timed = TimedEvent(at_s=envelope.decode(line).at_s, event=event.decode(line))
                if checker is not None:
                    checker.check(timed.event, whole=not found.unusable)
            except (ValueError, msgspec.DecodeError) as error:
                cell, round_ = _origin(line, error)
                known = cell if checker is None or cell in checker.cells else ""
                before = found.unusable.get(known)
                found.unusable[known] = (
                    replace(before, count=before.count + 1)
                    if before
                    else UnusableLines(1, number, round_, _problem(error))
                )
            else:
                found.lines.append(timed)
    except FileNotFoundError:
        return found
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    violations = [
        TimedEvent(
            at_s=None,
            event=RoundSkipped(
                cell=cell,
                round=lines.round,
                status="protocol_violation",
                error_class=ErrorClass.JOURNAL_LINE,
                message=f"{lines}: left out",
            ),
        )
        for cell, lines in found.unusable.items()
        if cell
    ]
    ended = bool(found.lines) and isinstance(found.lines[-1].event, RunEnded)
    at = len(found.lines) - ended
    found.lines[at:at] = violations
    return found


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Lines that have an end, without it; of a line that is too long only its beginning."""
    with path.open("rb") as stream:
        while line := stream.readline(LONGEST_LINE):
            rest = line
            while len(rest) == LONGEST_LINE and not rest.endswith(b"\n"):
                rest = stream.readline(LONGEST_LINE)
            if rest.endswith(b"\n"):
                yield line.removesuffix(b"\n")


def _problem(error: Exception) -> str:
    if isinstance(error, ImplausibleError):
        return str(error)
    if isinstance(error, msgspec.ValidationError | LimitError):
        return f"no event: {printable_line(str(error))[:LONGEST_MESSAGE]}"
    return "damaged"  # a power cut can leave a hole; the lines after it are still good


_FIELD = re.compile(rb'"(cell|round)":\s*("(?:[^"\\]|\\.)*"|\d+)')


def _origin(line: bytes, error: Exception) -> tuple[str, int]:
    """The cell and the round of an unusable line; empty for a damaged one."""
    if _problem(error) == "damaged":
        return "", 0
    named: Mapping[str, bytes | msgspec.Raw]
    try:
        named = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):  # no decoder reads it
        named = {name.decode(): value for name, value in _FIELD.findall(line)}
    cell, number = "", 0
    with contextlib.suppress(KeyError, msgspec.DecodeError, UnicodeDecodeError):
        cell = msgspec.json.decode(named["cell"], type=str)
        number = msgspec.json.decode(named["round"], type=Annotated[int, _ROUND])
    return cell, number
