"""A tolerant client for a worker: for the conformance kit only.

The supervisor kills a worker at its first violation. This client records the violation and
continues, so that one fault fails one check; and it can send what the supervisor never sends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.limits import MOST_MESSAGES
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.worker import answers, ownership
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.launch import Launch
from mac_whisper_speedtest.worker.messages import (
    ErrorObject,
    Reply,
    ViolationError,
    encode,
    parse,
    start_of,
)
from mac_whisper_speedtest.worker.process import EXIT_GRACE_S, Line, WorkerProcess

_LOG_CHARACTERS = 400


class NoAnswerError(Exception):
    """No readable answer arrived; the message says what happened instead."""


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """An answer: either ``error`` is set, or ``result`` holds its JSON."""

    id: int | str | None
    result: bytes
    error: ErrorObject | None
    wall_s: float


class Client(WorkerProcess):
    """A client that does not trust the worker, and keeps it running after a violation.

    Attributes:
        junk: lines on stdout that do not look like messages.
        wrong_ids: answers whose id is not that of their call.

    Raises:
        NoAnswerError: the program cannot be started.
    """

    def __init__(self, launch: Launch) -> None:
        self.junk: list[str] = []
        self.wrong_ids: list[str] = []
        self._calls = 0
        try:
            super().__init__(launch)
        except OSError as error:
            raise NoAnswerError(f"cannot start {launch.argv[0]}: {error.strerror}") from error

    def call(self, method: str, params: Mapping[str, Any], timeout_s: float) -> WorkerReply:
        """Send a call and return the next answer, with any id. Raises NoAnswerError."""
        self._calls += 1
        sent = time.perf_counter()
        self.send(encode(self._calls, method, params))
        reply = self.answer(timeout_s, sent)
        if reply.id != self._calls:
            self.wrong_ids.append(
                f"{method} was called with id {self._calls}, answered with {shown(reply.id)}"
            )
        return reply

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
        for _ in range(MOST_MESSAGES):
            left = entered + timeout_s - time.perf_counter()
            line = self.receive(left) if left > 0 else None
            if line is None:
                also = f"; stdout held {self.junk[-1]}" if self.junk else ""
                raise NoAnswerError(f"no answer within {timeout_s:g} s{also}")
            message = self._message(line)
            if isinstance(message, Reply):
                return WorkerReply(message.id, message.result, message.error, line.at - sent)
            if isinstance(message, m.ProgressParams) and message.stage in set(m.Stage) - stages:
                stages.add(message.stage)
                entered = line.at
        raise NoAnswerError(f"{MOST_MESSAGES} lines and no answer among them")

    def _message(self, line: Line) -> Reply | m.ProgressParams | m.LogParams | None:
        """The message in a line; ``None`` if it does not look like one."""
        if not line.data:
            raise NoAnswerError(self._last_words())
        try:
            return parse(line.data)
        except ViolationError as violation:
            if line.data.lstrip().startswith(b"{"):
                raise NoAnswerError(f"a broken message: it {violation}") from violation
            self.junk.append(start_of(line.data))
            return None

    def leftovers(self, grace_s: float) -> list[str]:
        """The names of the worker's processes that outlive it by ``grace_s`` seconds."""
        own = [each for each in ownership.marked_processes(self._mark) if each.pid != self.pid]
        _, alive = psutil.wait_procs(own, timeout=grace_s)
        named = []
        for process in alive:
            with contextlib.suppress(psutil.Error):
                named.append(f"{process.name()} ({process.pid})")
        return named

    def kill(self) -> None:
        """Kill the process and everything it started; Ctrl-C does not interrupt this."""
        with interrupts.held_back():
            super().kill()

    def _last_words(self) -> str:
        """How a worker that closed its stdout ended, with the end of its log."""
        status = self.wait(EXIT_GRACE_S)
        if status is None:
            return "closed its stdout but is still running"
        how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
        lines = answers.log_tail(self.log.decode("utf-8", "replace")).strip().splitlines()
        ends = f"; stderr ends: {lines[-1][-_LOG_CHARACTERS:]}" if lines else ""
        return f"{how} without answering{ends}"
