"""A worker's stdout as messages: the type of one line, and the thread that reads them."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import msgspec

from mac_whisper_speedtest.worker import protocol as m

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """The error object of an answer."""

    code: int
    message: str
    data: m.ErrorData | None = None


class Message(msgspec.Struct):
    """A JSON-RPC answer or notification; ``result`` is empty where there is none."""

    jsonrpc: str
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorObject | msgspec.UnsetType = msgspec.UNSET

    @property
    def identity(self) -> int | str | None:
        """The id; ``None`` where it is null or missing."""
        return None if self.id is msgspec.UNSET else self.id


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, an invalid line (``broken`` has the reason), or, with neither, the end of stdout.

    ``at`` is when it was read, by ``time.perf_counter``.
    """

    at: float
    message: Message | None = None
    broken: str = ""


class MessageReader(threading.Thread):
    """Reads a worker's stdout into ``arrivals``; stops at the first invalid line."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._stream = stream

    def run(self) -> None:
        """Read until stdout ends or is closed."""
        with contextlib.suppress(ValueError, OSError):  # closed when the worker is killed
            while line := self._stream.readline(m.MAX_LINE_BYTES):
                at = time.perf_counter()
                try:
                    self.arrivals.put(Arrival(at, self.parse(line)))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    if not self.handle_broken_line(line, at, error):
                        return
        self.arrivals.put(Arrival(time.perf_counter()))

    def parse(self, line: bytes) -> Message:
        """The message in a line. Raises MsgspecError or UnicodeDecodeError."""
        message = _DECODER.decode(line)
        if message.jsonrpc != "2.0":
            raise msgspec.ValidationError(f"jsonrpc is {message.jsonrpc!r}, not '2.0'")
        return message

    def handle_broken_line(self, line: bytes, at: float, error: Exception) -> bool:
        """Report an invalid line; return whether to continue reading, which is never here."""
        shown = line[:_SHOWN_CHARACTERS].decode("utf-8", "replace").rstrip()
        what = f"wrote something else than the protocol to stdout: {shown!r} ({error})"
        self.arrivals.put(Arrival(at, broken=what))
        # Keep the pipe empty until the worker is killed, so that nothing blocks on it.
        while os.read(self._stream.fileno(), 1 << 16):
            pass
        return False


_DECODER = msgspec.json.Decoder(Message)


def encode(identity: int, method: str, params: Mapping[str, Any]) -> bytes:
    """One call as a line of JSON."""
    call = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    return msgspec.json.encode(call) + b"\n"
