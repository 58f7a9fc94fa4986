"""How a worker can end, and the rules that classify it."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.worker.messages import ErrorObject
from mac_whisper_speedtest.worker.process_tree import MemoryUse
from mac_whisper_speedtest.worker.protocol import ErrorCode, ErrorData, Stage


class Status(Word):
    """The outcome of a cell, a round and a worker. Only ``ok`` gets a rank."""

    OK = "ok", "it did everything that was requested"
    FAILED = "failed", "it answered with an error: an exception, unusable weights or audio"
    TIMEOUT = "timeout", "a stage passed its deadline, and the worker was killed"
    CRASHED = "crashed", "the process ended by a signal, or with an exit status that is not 0"
    OUT_OF_MEMORY = (
        "out_of_memory",
        "an allocation failed, the system killed it for memory, or it outgrew `--max-memory`",
    )
    PROTOCOL_VIOLATION = (
        "protocol_violation",
        "it sent something outside the protocol or its limits, or left without an answer",
    )
    UNAVAILABLE = "unavailable", "it cannot run here: not installed, not startable, or no weights"
    SKIPPED = "skipped", "not run, or cut off: the run was stopped, or an earlier round failed"


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """How one worker ended.

    Attributes:
        stage: the stage in which it ended.
        error_class: an exception's class, a signal's name, or a name defined by this tool.
        message: one line for a person.
        log_tail: the end of the worker's stderr, and its traceback if it sent one.
        exit_code: the process's exit status, if it was not killed.
    """

    status: Status
    stage: str = ""
    error_class: str = ""
    message: str = ""
    log_tail: str = ""
    exit_code: int | None = None


class WorkerFailureError(Exception):
    """A worker did not carry out a call; ``ending`` has the reason."""

    def __init__(self, ending: WorkerExit) -> None:
        super().__init__(ending.message)
        self.ending = ending


def from_returncode(returncode: int, stage: Stage, *, oom_kills: int) -> WorkerExit:
    """Classify a worker that exited without answering.

    Args:
        returncode: as ``subprocess`` gives it: negative for a signal.
        stage: the stage it was in.
        oom_kills: number of processes that the kernel killed for memory while it ran.
    """
    if returncode < 0:
        name = _signal_name(-returncode)
        if -returncode == signal.SIGKILL and oom_kills > 0:
            return WorkerExit(
                Status.OUT_OF_MEMORY,
                stage,
                ErrorClass.KERNEL_OUT_OF_MEMORY,
                f"the system killed it for memory during {stage}",
            )
        message = f"crashed with {name} during {stage}"
        if -returncode == signal.SIGKILL:
            message = f"killed from outside ({name}) during {stage}"
            if sys.platform == "darwin":
                message += "; macOS does that when memory runs out"
        return WorkerExit(Status.CRASHED, stage, name, message)
    if returncode == 0:
        return WorkerExit(
            Status.PROTOCOL_VIOLATION,
            stage,
            ErrorClass.SILENT_EXIT,
            f"exited with status 0 without answering during {stage}",
            exit_code=0,
        )
    return WorkerExit(
        Status.CRASHED,
        stage,
        ErrorClass.EXIT,
        f"exited with status {returncode} during {stage}",
        exit_code=returncode,
    )


def status_of(code: int) -> Status:
    """The status of a cell after its worker answers with this error."""
    special = {
        ErrorCode.PARSE_ERROR: Status.PROTOCOL_VIOLATION,  # its null id answers no call
        ErrorCode.UNAVAILABLE: Status.UNAVAILABLE,
        ErrorCode.OUT_OF_MEMORY: Status.OUT_OF_MEMORY,
    }
    return next((status for known, status in special.items() if known == code), Status.FAILED)


def from_error(error: ErrorObject, stage: Stage) -> WorkerExit:
    """Classify an error answer."""
    status = status_of(error.code)
    data = error.data or ErrorData()
    return WorkerExit(
        status,
        stage,
        data.error_class or str(error.code),
        error.message or data.error_class,
        data.traceback,
    )


def timed_out(stage: Stage, limit_s: float, advice: str = "") -> WorkerExit:
    """The exit of a worker that was killed at a stage's deadline; ``advice`` is for the user."""
    words = f"no answer after {limit_s:g} s of {stage}; killed"
    return WorkerExit(
        Status.TIMEOUT, stage, ErrorClass.DEADLINE, f"{words}. {advice}" if advice else words
    )


def over_memory_limit(stage: Stage, used: MemoryUse, limit_bytes: int) -> WorkerExit:
    """The exit of a worker that was killed for using more memory than allowed."""
    return WorkerExit(
        Status.OUT_OF_MEMORY,
        stage,
        ErrorClass.MEMORY_LIMIT,
        f"used {megabytes(used.size_bytes)} of {used.counted} during {stage}, over the limit of "
        f"{megabytes(limit_bytes)}; killed",
    )


def violated_protocol(stage: Stage, what: str) -> WorkerExit:
    """The exit of a worker after a message that breaks the protocol."""
    return WorkerExit(Status.PROTOCOL_VIOLATION, stage, ErrorClass.PROTOCOL_VIOLATION, what)


def kernel_oom_kills() -> int:
    """Number of processes the kernel has killed for memory so far; 0 where it is not reported.

    Linux: ``oom_kill`` in the memory cgroup's events and in /proc/vmstat.
    """
    total = 0
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        try:
            text = Path(path).read_text(encoding="ascii")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("oom_kill "):
                total += int(line.split()[1])
    return total


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
