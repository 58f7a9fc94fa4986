"""A tolerant client for a worker: for the conformance kit only.

The supervisor kills a worker at its first violation. This client records the violation and
continues, so that one fault fails one check; and it can send what the supervisor never sends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import psutil

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.worker import ownership, process_tree
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import Launch
from mac_whisper_speedtest.worker.messages import (
    Arrival,
    ErrorObject,
    Message,
    MessageReader,
    encode,
)

_SHOWN_CHARACTERS = 100
_LOG_TAIL_BYTES = 400
_LAST_WORDS_S = 5.0
"""Time for a process to exit after it closed its stdout, and for pipes to drain after a kill."""


class NoAnswerError(Exception):
    """No readable answer arrived; the message has what happened instead."""


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """An answer: either ``error`` is set, or ``result`` holds its JSON."""

    id: int | str | None
    result: bytes
    error: ErrorObject | None
    wall_s: float


class _CheckingReader(MessageReader):
    """Sorts lines into messages, broken messages and junk, until stdout ends."""

    def __init__(self, stream: IO[bytes], junk: list[str]) -> None:
        super().__init__(stream)
        self._junk = junk

    def parse(self, line: bytes) -> Message:
        return checked(super().parse(line))

    def handle_broken_line(self, line: bytes, at: float, error: Exception) -> bool:
        shown = line[:_SHOWN_CHARACTERS].decode("utf-8", "replace").rstrip()
        if line.lstrip().startswith(b"{"):
            self.arrivals.put(Arrival(at, broken=f"a broken message: {shown} ({error})"))
        else:
            self._junk.append(shown)
        return True


class Client:
    """One worker process and the pipe to it. A context manager: its exit kills the process.

    Attributes:
        pid: the worker's process number.
        junk: lines on stdout that do not even look like a message.
        wrong_ids: answers that carried another id than the call they answer.

    Raises:
        NoAnswerError: the program cannot be started.
    """

    def __init__(self, launch: Launch) -> None:
        self.junk: list[str] = []
        self.wrong_ids: list[str] = []
        self._mark = launch.mark
        self._calls = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill()
        try:
            self._process = subprocess.Popen(
                launch.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=dict(launch.environment),
                cwd=launch.cwd,
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise NoAnswerError(f"cannot start {launch.argv[0]}: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._stdin = self._process.stdin
        self._stdout = self._process.stdout
        self._reader = _CheckingReader(self._stdout, self.junk)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def call(self, method: str, params: Mapping[str, Any], timeout_s: float) -> WorkerReply:
        """Send a call and return the next answer, with any id. Raises NoAnswerError."""
        self._calls += 1
        sent = time.perf_counter()
        self.send(encode(self._calls, method, params))
        reply = self.answer(timeout_s, sent)
        if reply.id != self._calls:
            self.wrong_ids.append(f"{method} asked with id {self._calls}, answered {reply.id!r}")
        return reply

    def send(self, data: bytes) -> None:
        """Write bytes as they are. A dead worker is noticed when no answer arrives."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(data)
            self._stdin.flush()

    def answer(self, timeout_s: float, sent: float | None = None) -> WorkerReply:
        """Wait for the next answer; a stage announced for the first time restarts the deadline.

        Args:
            timeout_s: the deadline, in seconds from now.
            sent: when the call was sent, by ``time.perf_counter``; else now.

        Raises:
            NoAnswerError: the deadline passed, the program exited, or its answer is broken.
        """
        entered = time.perf_counter()
        sent = entered if sent is None else sent
        stages: set[str] = set()
        while True:
            left = entered + timeout_s - time.perf_counter()
            try:
                arrival = self._reader.arrivals.get(timeout=max(left, 0.001))
            except queue.Empty:
                also = f"; stdout held {self.junk[-1]!r}" if self.junk else ""
                raise NoAnswerError(f"no answer within {timeout_s:g} s{also}") from None
            if arrival.broken:
                raise NoAnswerError(arrival.broken)
            message = arrival.message
            if message is None:
                raise NoAnswerError(self._last_words())
            if message.method is None:
                return WorkerReply(
                    id=message.identity,
                    result=bytes(message.result),
                    error=None if message.error is msgspec.UNSET else message.error,
                    wall_s=arrival.at - sent,
                )
            if message.method == "progress":
                stage = msgspec.json.decode(message.params, type=m.ProgressParams).stage
                if stage in set(m.Stage) and stage not in stages:
                    stages.add(stage)
                    entered = arrival.at

    def close_stdin(self) -> None:
        """End the worker's input, as when the tool has exited."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    def wait(self, timeout_s: float) -> int | None:
        """The exit status as ``subprocess`` gives it, or ``None`` if it still runs."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def leftovers(self, grace_s: float) -> list[str]:
        """Name every process that outlives the worker it belongs to by ``grace_s`` seconds."""
        own = [each for each in ownership.marked_processes(self._mark) if each.pid != self.pid]
        _, alive = psutil.wait_procs(own, timeout=grace_s)
        named = []
        for process in alive:
            with contextlib.suppress(psutil.Error):
                named.append(f"{process.name()} ({process.pid})")
        return named

    def kill(self) -> None:
        """Kill the process and everything it started, and close the pipes. Can be called twice."""
        with interrupts.held_back():
            process_tree.kill(self.pid, self._mark)
            self._process.wait()
            self._reader.join(_LAST_WORDS_S)
            for stream in (self._stdin, self._stdout, self._log):
                with contextlib.suppress(OSError):
                    stream.close()

    def _last_words(self) -> str:
        """How a worker that closed its stdout ended, with the end of what it logged."""
        status = self.wait(_LAST_WORDS_S)
        if status is None:
            return "closed its stdout but is still running"
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        # Not by seek(): the processes that write the log share the file's position.
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, max(size - _LOG_TAIL_BYTES, 0))
        lines = tail.decode("utf-8", "replace").strip().splitlines()
        return f"{how} without answering" + (f"; stderr ends: {lines[-1]}" if lines else "")


def checked(message: Message) -> Message:
    """The message, if its envelope follows the protocol.

    Raises:
        msgspec.MsgspecError: it is neither a valid answer nor a known notification.
    """
    if message.method is None:
        if message.id is msgspec.UNSET:
            raise msgspec.ValidationError("an answer without an id")
        if (message.error is msgspec.UNSET) == (not bytes(message.result)):
            raise msgspec.ValidationError("an answer has exactly one of result and error")
    elif message.method == "progress":
        msgspec.json.decode(message.params, type=m.ProgressParams)
    elif message.method == "log":
        msgspec.json.decode(message.params, type=m.LogParams)
    else:
        raise msgspec.ValidationError(f"unknown notification {message.method!r}")
    return message
