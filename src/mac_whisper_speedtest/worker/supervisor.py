"""The tool's side of a worker: start it, call it, enforce deadlines, end it, report how it ended.

Nothing here polls for answers: a thread blocks on the worker's stdout, another on its stderr, and
the caller blocks on a queue until an answer, a deadline, or the next check of the memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar

import msgspec

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.backends.adapter import LoadParams
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.worker import exit_status, process_tree
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit, WorkerFailureError
from mac_whisper_speedtest.worker.launch import Launch
from mac_whisper_speedtest.worker.messages import Message, MessageReader, encode

T = TypeVar("T")

LOG_TAIL_BYTES = 16 * 1024
SLOW_PERIODS = 3
"""A stage is called slow after this fraction (1/3) of its deadline, long before it is killed."""
_MEMORY_CHECK_S = 0.5
_EXIT_GRACE_S = 5.0


class TranscriptionFailedError(Exception):
    """The backend answered that it cannot transcribe this recording; the worker lives on.

    Attributes:
        ending: the error, classified.
        wall_s: seconds from the call to its answer.
    """

    def __init__(self, ending: WorkerExit, wall_s: float) -> None:
        super().__init__(ending.message)
        self.ending = ending
        self.wall_s = wall_s


_ONE_RECORDING = frozenset({m.ErrorCode.BACKEND_ERROR, m.ErrorCode.AUDIO_UNUSABLE})
"""Errors that concern one recording, not the worker."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each stage may take, in seconds.

    ``spawn_s`` covers everything up to the first message, so also the ``hello`` of a program that
    sends no progress.
    """

    spawn_s: float = 30.0
    import_s: float = 300.0
    load_s: float = 120.0
    warmup_s: float = 300.0
    transcribe_s: float = 120.0
    unload_s: float = 30.0
    shutdown_s: float = 10.0

    def for_stage(self, stage: m.Stage) -> float:
        """The deadline of ``stage``."""
        limit: float = getattr(self, f"{stage}_s")
        return limit


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """An answer and the supervisor's own wall time from call to answer, in seconds."""

    value: T
    wall_s: float


@dataclass(slots=True)
class _Tail:
    """The last bytes of a stream, and the number of all its bytes."""

    kept: bytearray = field(default_factory=bytearray)
    total: int = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self.kept += data
        del self.kept[:-LOG_TAIL_BYTES]

    def text(self) -> str:
        text = self.kept.decode("utf-8", "replace")
        if self.total > len(self.kept):
            return f"[{self.total - len(self.kept)} earlier bytes left out]\n{text}"
        return text


class Worker:
    """One worker process. A context manager: its exit kills everything that the worker started.

    Raises:
        WorkerFailureError: from every method, when the worker did not carry out the call.
    """

    def __init__(
        self,
        launch: Launch,
        deadlines: Deadlines,
        *,
        memory_limit: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._deadlines = deadlines
        self._memory_limit = memory_limit
        self._observer = observer or Observer()
        self._mark = launch.mark
        self._tail = _Tail()
        self._stage = m.Stage.SPAWN
        self._calls = 0
        self._oom_kills_before = exit_status.kernel_oom_kills()
        self.spawn_s: float | None = None
        self._started = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                launch.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(launch.environment),
                cwd=launch.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerFailureError(
                WorkerExit(
                    Status.UNAVAILABLE,
                    m.Stage.SPAWN,
                    type(error).__name__,
                    f"cannot start {launch.argv[0]}: {error.strerror}",
                )
            ) from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        reader = MessageReader(self._process.stdout)
        self._arrivals = reader.arrivals
        self._threads = [
            reader,
            threading.Thread(target=self._read_stderr, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with interrupts.held_back():
            self.kill()

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    def hello(self) -> Answer[m.HelloResult]:
        """Have the worker import its library and identify itself."""
        answer = self._call(m.Method.HELLO, asdict(m.HelloParams()), m.HelloResult, m.Stage.SPAWN)
        if answer.value.protocol != m.PROTOCOL_VERSION:
            raise self._failure(
                exit_status.violated_protocol(
                    m.Stage.IMPORT,
                    f"speaks protocol {answer.value.protocol}, not {m.PROTOCOL_VERSION}",
                )
            )
        return answer

    def load(self, params: LoadParams) -> Answer[m.LoadReply]:
        """Have the worker load weights."""
        answer = self._call(m.Method.LOAD, asdict(params), m.LoadReply, m.Stage.LOAD)
        self._require_seconds(answer.value.load_s, "load_s")
        return answer

    def transcribe(
        self, params: m.TranscribeParams, *, survives_errors: bool = False
    ) -> Answer[m.TranscribeResult]:
        """Have the worker transcribe once.

        Args:
            params: the recording and the settings.
            survives_errors: whether the worker is kept when its backend answers that this recording
                failed, so that the next one can be sent.

        Raises:
            WorkerFailureError: the worker is gone.
            TranscriptionFailedError: with ``survives_errors``, the backend answered an error.
        """
        stage = m.Stage.WARMUP if params.kind == "warmup" else m.Stage.TRANSCRIBE
        answer = self._call(
            m.Method.TRANSCRIBE,
            asdict(params),
            m.TranscribeResult,
            stage,
            survives=_ONE_RECORDING if survives_errors else frozenset(),
        )
        self._require_seconds(answer.value.seconds, "seconds")
        for name, value in answer.value.stages_s.items():
            self._require_seconds(value, f"stages_s.{name}")
        if answer.value.first_segment_s is not None:
            self._require_seconds(answer.value.first_segment_s, "first_segment_s")
        return answer

    def unload(self) -> None:
        """Have the worker drop its weights; it can load again afterwards."""
        self._call(m.Method.UNLOAD, {}, dict[str, Any], m.Stage.UNLOAD)

    def shutdown(self) -> WorkerExit:
        """Unload, then wait for the process to exit by itself.

        Returns:
            An ``ok`` exit. A failure after the last answer (a library that crashes while its
            process exits) does not invalidate what was measured, but is in its message.
        """
        self.unload()
        self._call(m.Method.SHUTDOWN, {}, dict[str, Any], m.Stage.SHUTDOWN)
        limit = self._deadlines.shutdown_s
        try:
            returncode = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            late = exit_status.timed_out(m.Stage.SHUTDOWN, limit)
        else:
            if returncode == 0:
                return WorkerExit(Status.OK)
            late = exit_status.from_returncode(returncode, m.Stage.SHUTDOWN, oom_kills=0)
        return dataclasses.replace(late, status=Status.OK, log_tail=self._tail.text())

    def kill(self) -> None:
        """Kill the worker and everything it started, and close the pipes. Can be called twice."""
        process_tree.kill(self._process.pid, self._mark)
        self._process.wait()
        for thread in self._threads:
            thread.join(_EXIT_GRACE_S)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _call(
        self,
        method: m.Method,
        params: Mapping[str, Any],
        kind: type[T],
        stage: m.Stage,
        *,
        survives: frozenset[int] = frozenset(),
    ) -> Answer[T]:
        self._calls += 1
        self._stage = stage
        called = time.perf_counter()
        assert self._process.stdin is not None
        # The closed stdout of a dead worker is noticed later, with more detail about the cause.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode(self._calls, method, params))
            self._process.stdin.flush()
        reply, at = self._await_reply()
        if not isinstance(reply.error, msgspec.UnsetType):
            answered = reply.error
            data = answered.data or m.ErrorData()
            ending = exit_status.from_error(
                answered.code, answered.message, data.error_class, self._stage, data.traceback
            )
            if answered.code in survives:
                raise TranscriptionFailedError(ending, at - called)
            raise self._failure(ending)
        try:
            value = msgspec.json.decode(reply.result, type=kind)
        except msgspec.MsgspecError as error:
            what = f"bad answer to {method}: {error}"
            raise self._failure(exit_status.violated_protocol(self._stage, what)) from error
        return Answer(value, at - called)

    def _await_reply(self) -> tuple[Message, float]:
        """Block until the answer to the latest call; handle notifications before it.

        Returns:
            The answer, and when it was read, by ``time.perf_counter``.
        """
        entered = time.perf_counter()
        seen = {self._stage}
        limit = self._deadlines.for_stage(self._stage)
        warned = False
        while True:
            waited = time.perf_counter() - entered
            if waited >= limit:
                raise self._failure(exit_status.timed_out(self._stage, limit))
            if not warned and waited >= limit / SLOW_PERIODS:
                warned = True
                self._observer.slow(self._stage, waited, limit)
            next_check = limit if warned else limit / SLOW_PERIODS
            pause = max(next_check - waited, 0.001)
            if self._memory_limit is not None:
                self._check_memory(self._memory_limit)
                pause = min(pause, _MEMORY_CHECK_S)
            try:
                arrival = self._arrivals.get(timeout=pause)
            except queue.Empty:
                continue
            if self.spawn_s is None:
                self.spawn_s = arrival.at - self._started
            if arrival.broken:
                raise self._failure(exit_status.violated_protocol(self._stage, arrival.broken))
            message = arrival.message
            if message is None:
                raise self._gone()
            if message.method is None:
                if message.identity != self._calls:
                    raise self._failure(
                        exit_status.violated_protocol(
                            self._stage, f"answered call {message.identity}, not {self._calls}"
                        )
                    )
                return message, arrival.at
            entry = self._notified(message)
            if entry is not None and entry not in seen:
                # A new stage gets its own deadline, once: repeating it adds no time.
                seen.add(entry)
                self._stage, entered, warned = entry, arrival.at, False
                limit = self._deadlines.for_stage(entry)

    def _notified(self, message: Message) -> m.Stage | None:
        """Handle a notification; return the stage it announces, if any."""
        try:
            if message.method == "progress":
                progress = msgspec.json.decode(message.params, type=m.ProgressParams)
                return m.Stage(progress.stage) if progress.stage in set(m.Stage) else None
            if message.method == "log":
                log = msgspec.json.decode(message.params, type=m.LogParams)
                self._observer.log(log.level, log.message)
                return None
        except msgspec.MsgspecError as error:
            what = f"bad {message.method}: {error}"
            raise self._failure(exit_status.violated_protocol(self._stage, what)) from error
        raise self._failure(
            exit_status.violated_protocol(self._stage, f"unknown notification {message.method!r}")
        )

    def _check_memory(self, limit: int) -> None:
        used = process_tree.memory_use(self._process.pid, limit)
        if used > limit:
            raise self._failure(exit_status.over_memory_limit(self._stage, used, limit))

    def _require_seconds(self, value: float, name: str) -> None:
        if not math.isfinite(value) or value < 0:
            raise self._failure(exit_status.violated_protocol(self._stage, f"{name} is {value}"))

    def _gone(self) -> WorkerFailureError:
        """The failure of a worker that closed its stdout."""
        try:
            returncode = self._process.wait(_EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            what = "closed its stdout but is still running"
            return self._failure(exit_status.violated_protocol(self._stage, what))
        kills = exit_status.kernel_oom_kills() - self._oom_kills_before
        return self._failure(exit_status.from_returncode(returncode, self._stage, oom_kills=kills))

    def _failure(self, ending: WorkerExit) -> WorkerFailureError:
        """Kill the worker; return the error to raise, with the log's tail."""
        self.kill()
        tail = self._tail.text()
        if ending.log_tail and ending.log_tail not in tail:
            tail = f"{tail}\n{ending.log_tail}" if tail else ending.log_tail
        return WorkerFailureError(dataclasses.replace(ending, log_tail=tail[-LOG_TAIL_BYTES:]))

    def _read_stderr(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            while data := os.read(stream.fileno(), 1 << 16):
                self._tail.add(data)
