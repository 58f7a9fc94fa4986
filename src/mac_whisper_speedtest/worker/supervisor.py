"""The tool's side of a worker: start it, call it, enforce deadlines, end it, report how it ended.

The caller waits until an answer, a deadline or the next memory check. No answer is used before
`worker/answers.py` has checked it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mac_whisper_speedtest import interrupts, limits
from mac_whisper_speedtest.backends.adapter import LoadParams
from mac_whisper_speedtest.limits import LimitError
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.worker import answers, exit_status, process_tree
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.compilation import Compilation
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit, WorkerFailureError
from mac_whisper_speedtest.worker.launch import Launch
from mac_whisper_speedtest.worker.messages import Reply, ViolationError, decode, encode, parse
from mac_whisper_speedtest.worker.process import CRASH_GRACE_S, Line, WorkerProcess
from mac_whisper_speedtest.worker.process_tree import MemoryUse

T = TypeVar("T")

SLOW_PERIODS = 3
"""Periods of a deadline. A stage is reported as slow after the first, long before it is killed."""
_MEMORY_CHECK_S, _RAREST_MEMORY_CHECK_S = 0.5, 5.0
_MEMORY_CHECK_SHARE = 0.01
"""Of a core, at most: memory is sampled while a call is timed, and without lists of children
(/proc, macOS's) this reads every process of the machine."""
_MOST_LOG_LINES = 200
"""Log lines of one call that are passed to the observer."""


class TranscriptionFailedError(Exception):
    """The backend cannot transcribe this recording; the worker keeps running.

    Attributes:
        ending: the error, classified.
        wall_s: seconds from the call to its answer.
    """

    def __init__(self, ending: WorkerExit, wall_s: float) -> None:
        super().__init__(ending.message)
        self.ending = ending
        self.wall_s = wall_s


ONE_RECORDING = frozenset({m.ErrorCode.BACKEND_ERROR, m.ErrorCode.AUDIO_UNUSABLE})
"""Errors that concern one recording, not the worker."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each stage may take, in seconds.

    ``spawn_s`` covers everything up to the first message: for a program that sends no progress, the
    whole ``hello``.

    Attributes:
        compilation: of Core ML, if a load may compile; there is then a second warning, and
            advice when the deadline passes.
    """

    spawn_s: float = 30.0
    import_s: float = 300.0
    load_s: float = 120.0
    warmup_s: float = 300.0
    transcribe_s: float = 120.0
    unload_s: float = 30.0
    shutdown_s: float = 10.0
    compilation: Compilation | None = None

    def allowing(self, compilation: Compilation | None, *, requested: bool) -> Self:
        """These, with time for compilation during a load.

        Args:
            compilation: ``None`` if it compiles nothing with Core ML.
            requested: the user has requested the deadline of a load, which therefore stays.
        """
        if compilation is None:
            return self
        load_s = self.load_s if requested else compilation.load_limit_s(self.load_s)
        return dataclasses.replace(self, load_s=load_s, compilation=compilation)

    def for_stage(self, stage: m.Stage) -> float:
        """The deadline of ``stage``."""
        limit: float = getattr(self, f"{stage}_s")
        return limit


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """An answer and the supervisor's own wall time from call to answer, in seconds."""

    value: T
    wall_s: float


def memory_check_pause_s(cost_s: float) -> float:
    """Seconds between two memory checks that take ``cost_s`` of CPU time each."""
    return min(max(_MEMORY_CHECK_S, cost_s / _MEMORY_CHECK_SHARE), _RAREST_MEMORY_CHECK_S)


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
        gpu_memory_limit: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._deadlines = deadlines
        self._known_versions = launch.versions
        self._memory_limit, self._gpu_memory_limit = memory_limit, gpu_memory_limit
        self._memory_check_due = 0.0
        self._observer = observer or Observer()
        self._stage = m.Stage.SPAWN
        self._calls = self._messages = self._bytes = self._log_lines = 0
        self._oom_kills_before = exit_status.kernel_oom_kills()
        self.spawn_s: float | None = None
        self._started = time.perf_counter()
        try:
            with interrupts.held_back():  # an unregistered process could not be killed
                self._process = WorkerProcess(launch)
        except KeyboardInterrupt:
            if hasattr(self, "_process"):
                self.kill()
            raise
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word of the command
            why = error.strerror if isinstance(error, OSError) else error
            raise WorkerFailureError(
                WorkerExit(
                    Status.UNAVAILABLE,
                    m.Stage.SPAWN,
                    type(error).__name__,
                    f"cannot start {shown(launch.argv[0])}: {why}",
                )
            ) from error

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
        """Have the worker import its library and identify itself.

        `Launch.versions` are added to the versions that it reports.
        """
        answer = self._call(
            m.Method.HELLO,
            asdict(m.HelloParams()),
            m.HelloResult,
            m.Stage.SPAWN,
            answers.checked_hello,
        )
        if answer.value.protocol != m.PROTOCOL_VERSION:
            raise self._violation(
                f"speaks protocol {shown(answer.value.protocol)}, not {m.PROTOCOL_VERSION}",
                m.Stage.IMPORT,
            )
        versions = {**self._known_versions, **answer.value.versions}
        return replace(answer, value=replace(answer.value, versions=versions))

    def load(self, params: LoadParams) -> Answer[m.LoadReply]:
        """Have the worker load weights."""
        return self._call(
            m.Method.LOAD, asdict(params), m.LoadReply, m.Stage.LOAD, answers.checked_load
        )

    def transcribe(
        self, params: m.TranscribeParams, *, survives_errors: bool = False
    ) -> Answer[m.TranscribeResult]:
        """Have the worker transcribe once.

        Args:
            params: the recording and the settings.
            survives_errors: keep the worker if the backend fails on this recording, so that the
                next one can be sent.

        Raises:
            WorkerFailureError: the worker has ended.
            TranscriptionFailedError: with ``survives_errors``, the backend answered with an error.
        """
        audio_s = params.audio.samples / params.audio.sample_rate
        return self._call(
            m.Method.TRANSCRIBE,
            asdict(params),
            m.TranscribeResult,
            m.Stage.WARMUP if params.kind == "warmup" else m.Stage.TRANSCRIBE,
            lambda answer, wall_s: answers.checked_transcript(answer, wall_s, audio_s),
            survives=ONE_RECORDING if survives_errors else frozenset(),
        )

    def unload(self) -> None:
        """Have the worker drop its weights; it can load again afterwards."""
        self._call(m.Method.UNLOAD, {}, dict[str, Any], m.Stage.UNLOAD)

    def shutdown(self) -> WorkerExit:
        """Unload, then wait for the process to exit.

        Returns:
            An ``ok`` exit. A failure after the last answer (a library that crashes while its
            process exits) does not invalidate the measurements; its message reports it.
        """
        self.unload()
        self._call(m.Method.SHUTDOWN, {}, dict[str, Any], m.Stage.SHUTDOWN)
        limit = self._deadlines.shutdown_s
        returncode = self._process.wait(limit)
        if returncode == 0:
            return WorkerExit(Status.OK)
        late = (
            exit_status.timed_out(m.Stage.SHUTDOWN, limit)
            if returncode is None
            else exit_status.from_returncode(returncode, m.Stage.SHUTDOWN, oom_kills=0)
        )
        return dataclasses.replace(late, status=Status.OK, log_tail=self.log_tail())

    def kill(self) -> None:
        """Kill the worker and everything it started, and close the pipes. Can be called twice."""
        self._process.kill()

    def _call(
        self,
        method: m.Method,
        params: Mapping[str, Any],
        kind: type[T],
        stage: m.Stage,
        checked: Callable[[T, float], T] = lambda answer, _wall_s: answer,
        *,
        survives: frozenset[int] = frozenset(),
    ) -> Answer[T]:
        self._calls += 1
        self._messages = self._bytes = self._log_lines = 0
        self._stage = stage
        # Late notifications of the previous call, for instance from threads of the worker.
        while (early := self._process.receive(0.0)) is not None:
            if isinstance(self._heard(early), Reply):
                raise self._violation(f"answered {method} before the call")
        called = time.perf_counter()
        self._process.send(encode(self._calls, method, params))
        reply, at = self._await_reply()
        wall_s = at - called
        try:
            if reply.error is None:
                return Answer(
                    checked(decode(reply.result, kind, f"answer to {method}"), wall_s), wall_s
                )
            error = answers.checked_error(reply.error)
        except LimitError as problem:
            raise self._violation(f"bad answer to {method}: {problem}") from problem
        except ViolationError as violation:
            raise self._violation(str(violation)) from violation
        ending = exit_status.from_error(error, self._stage)
        if error.code in survives:
            raise TranscriptionFailedError(ending, wall_s)
        raise self._failure(ending)

    def _await_reply(self) -> tuple[Reply, float]:
        """Block until the answer to the latest call; handle notifications before it.

        Returns:
            The answer, and when it was read, by ``time.perf_counter``.
        """
        entered = time.perf_counter()
        seen = {self._stage}
        limit = self._deadlines.for_stage(self._stage)
        warned = 0
        while True:
            waited = time.perf_counter() - entered
            if waited >= limit:
                raise self._failure(self._timed_out(limit))
            if waited >= limit * (warned + 1) / SLOW_PERIODS:
                warned += 1
                self._warn(warned, waited, limit)
            pause = limit * (warned + 1) / SLOW_PERIODS - waited
            if self._memory_limit is not None:
                self._check_memory(self._memory_limit)
                pause = min(pause, max(0.0, self._memory_check_due - time.perf_counter()))
            line = self._process.receive(pause)
            if line is None:
                continue
            heard = self._heard(line)
            if isinstance(heard, Reply):
                if heard.id != self._calls:
                    raise self._violation(f"answered call {shown(heard.id)}, not {self._calls}")
                return heard, line.at
            if heard is not None and heard not in seen:
                # A new stage gets its own deadline once; announcing it again adds no time.
                seen.add(heard)
                self._stage, entered, warned = heard, line.at, 0
                limit = self._deadlines.for_stage(heard)

    def _warn(self, periods: int, waited_s: float, limit_s: float) -> None:
        """Report after the first period that a stage is slow, and the cost of killing it."""
        compilation = self._deadlines.compilation if self._stage == m.Stage.LOAD else None
        if periods == 1:
            self._observer.slow(self._stage, waited_s, limit_s)
        elif compilation is not None:
            self._observer.notify(compilation.last_warning(waited_s, limit_s))

    def _timed_out(self, limit_s: float) -> WorkerExit:
        compilation = self._deadlines.compilation if self._stage == m.Stage.LOAD else None
        advice = compilation.after_kill if compilation is not None else ""
        return exit_status.timed_out(self._stage, limit_s, advice)

    def _heard(self, line: Line) -> Reply | m.Stage | None:
        """The answer or the announced stage in a line, if any; log lines go to the observer."""
        if not line.data:
            raise self._gone()
        if self.spawn_s is None:
            self.spawn_s = line.at - self._started
        self._messages += 1
        self._bytes += len(line.data)
        if self._messages > limits.MOST_MESSAGES or self._bytes > limits.MOST_MESSAGE_BYTES:
            raise self._violation(
                f"wrote {self._messages} messages of {self._bytes} bytes in one call; at most "
                f"{limits.MOST_MESSAGES} and {limits.MOST_MESSAGE_BYTES}"
            )
        try:
            message = parse(line.data)
        except ViolationError as violation:
            raise self._violation(str(violation)) from violation
        if isinstance(message, m.LogParams):
            self._log(message)
            return None
        if isinstance(message, m.ProgressParams):
            return m.Stage(message.stage) if message.stage in set(m.Stage) else None
        return message

    def _log(self, params: m.LogParams) -> None:
        """Pass a log line to the observer, unless there were too many in this call."""
        self._log_lines += 1
        if self._log_lines <= _MOST_LOG_LINES:
            line = answers.cleaned_log(params)
            self._observer.log(line.level, line.message)
        elif self._log_lines == _MOST_LOG_LINES + 1:
            self._observer.log("warning", f"left out all log lines after {_MOST_LOG_LINES}")

    def _check_memory(self, limit: int) -> None:
        if time.perf_counter() < self._memory_check_due:
            return
        began_s = time.thread_time()
        self._hold_to(limit, process_tree.memory_use(self.pid, limit))
        if self._gpu_memory_limit is not None:
            self._hold_to(self._gpu_memory_limit, process_tree.gpu_memory_use(self.pid))
        pause_s = memory_check_pause_s(time.thread_time() - began_s)
        self._memory_check_due = time.perf_counter() + pause_s

    def _hold_to(self, limit: int, used: MemoryUse | None) -> None:
        if used is not None and used.size_bytes > limit:
            raise self._failure(exit_status.over_memory_limit(self._stage, used, limit))

    def _gone(self) -> WorkerFailureError:
        """The failure of a worker that closed its stdout."""
        returncode = self._process.wait(CRASH_GRACE_S)
        if returncode is None:
            return self._violation("closed its stdout but is still running")
        kills = exit_status.kernel_oom_kills() - self._oom_kills_before
        return self._failure(exit_status.from_returncode(returncode, self._stage, oom_kills=kills))

    def _violation(self, what: str, stage: m.Stage | None = None) -> WorkerFailureError:
        what = answers.cleaned_line(what)
        return self._failure(exit_status.violated_protocol(stage or self._stage, what))

    def _failure(self, ending: WorkerExit) -> WorkerFailureError:
        """Kill the worker; return the error to raise, with the log's tail."""
        self.kill()
        return WorkerFailureError(
            dataclasses.replace(ending, log_tail=self.log_tail(ending.log_tail))
        )

    def log_tail(self, traceback: str = "") -> str:
        """The end of the worker's log, plus the traceback of its answer if that is not in it."""
        tail = self._process.log.decode("utf-8", "replace")
        if traceback and traceback not in tail:
            tail = f"{tail}\n{traceback}" if tail else traceback
        return answers.log_tail(tail)
