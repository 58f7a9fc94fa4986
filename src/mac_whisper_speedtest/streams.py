"""Standard streams that may break: only the output that cannot be written is lost.

A reader that goes away (``| head -1``), a full disk, a stream that was closed from the start
(``2>&-``) and a character that the encoding does not have: none of them raises anything.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class LossyOutput(io.RawIOBase):
    """A file descriptor that drops its output after a write has failed."""

    def __init__(self, descriptor: int, *, closed_from_the_start: bool) -> None:
        self.name = f"<descriptor {descriptor}>"
        self._descriptor = descriptor
        self._closed_from_the_start = closed_from_the_start
        self._error: int | None = None

    def lost(self) -> str:
        """Why output was lost; empty if none was, or if its reader closed the stream."""
        return "" if self._error in {None, errno.EPIPE} else os.strerror(self._error or 0)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop; returns how many bytes that were."""
        if self._error is None and self._closed_from_the_start:
            self._error = errno.EBADF
        while self._error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # the other end shares it, and made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self._error = error.errno
        return memoryview(data).nbytes


def make_lossy() -> LossyOutput:
    """Replace the standard streams of this process; returns the stream below stdout."""
    closed = [_opened_if_closed(descriptor) for descriptor in range(3)]
    if closed[0]:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    output, errors = (
        LossyOutput(descriptor, closed_from_the_start=closed[descriptor]) for descriptor in (1, 2)
    )
    each_line = output.isatty() or bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdout = _text(output, sys.stdout, line_buffering=each_line)
    sys.stderr = _text(errors, sys.stderr, line_buffering=True)
    return output


def _opened_if_closed(descriptor: int) -> bool:
    """Open the null device if ``descriptor`` was closed, so no file gets its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        # The system gives the lowest free number, and those below are open.
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003
        return True
    return False


def _text(raw: LossyOutput, before: TextIO | None, *, line_buffering: bool) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=line_buffering,
    )
