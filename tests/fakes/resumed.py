"""What tests of ``--resume`` share: an executor that does what is missing, and a tool that dies."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable

import msgspec

from fakes.sessions import CRASH, OK, Unwatched, sample
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run import session
from mac_whisper_speedtest.run.monitor import MachineMonitor
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.run.task import Executor, Task
from mac_whisper_speedtest.worker.exit_status import WorkerExit

Taken = tuple[str, int, str, int]
"""Cell, round, recording, pass."""


class Killed(BaseException):
    """The tool is gone: nothing after this was written."""


class Dutiful:
    """Takes what its task says is missing; dies of the recordings in ``deadly``."""

    def __init__(self, seconds: Callable[[str, int], float] | None = None) -> None:
        self.seconds = seconds or (lambda _name, _number: 1.0)
        self.deadly: set[str] = set()
        self.warmed_up_on: list[str] = []
        self.taken: list[Taken] = []

    def __call__(
        self, task: Task, record: Callable[[s.Event], None], observer: Observer
    ) -> WorkerExit:
        where = task.where
        record(s.WorkerStarted(**where))
        record(s.Effective(**where, values=DecodeContract().settings(), observed=[], remarks=[]))
        ending = self._samples(task, record)
        record(
            s.WorkerEnded(
                **where,
                status=ending.status,
                stage=ending.stage,
                error_class=ending.error_class,
                message=ending.message,
                log_tail="",
                exit_code=None,
            )
        )
        return ending

    def _samples(self, task: Task, record: Callable[[s.Event], None]) -> WorkerExit:
        seconds = self.seconds(task.cell.backend.name, task.round)
        self.warmed_up_on.append(task.first.name)
        first = sample(task.where, -1, seconds)
        record(msgspec.structs.replace(first, utterance=task.first.name))
        for index in range(task.passes):
            missing = task.missing(index)
            for recording in missing:
                self.taken.append((task.cell.id, task.round, recording.name, index))
                dies = recording.name in self.deadly
                said = sample(task.where, index, seconds)
                if dies:
                    said = msgspec.structs.replace(
                        said, failed="SIGSEGV: died", text="", segments=[], language=None
                    )
                record(msgspec.structs.replace(said, utterance=recording.name))
                if dies:
                    return CRASH
            task.budget.samples += bool(missing)
        return OK


class _Fatal(Observer):
    """The tool dies after so many events."""

    def __init__(self, dies_after: int | None) -> None:
        self.left = dies_after

    def event(self, event: s.Event) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Killed


def measure(
    ready: Prepared,
    execute: Executor,
    *,
    resume: RunDirectory | None = None,
    watcher: MachineMonitor | None = None,
    dies_after: int | None = None,
) -> tuple[RunDirectory, s.Run] | None:
    """Measure; the tool dies after so many events. ``None`` if it did."""
    with contextlib.suppress(Killed):
        return session.measure(
            ready,
            _Fatal(dies_after),
            resume=resume,
            execute=execute,
            watcher=watcher or Unwatched(),
        )
    return None


def finished(run: s.Run) -> Counter[Taken]:
    """How often there is each timed sample that was not disturbed."""
    return Counter(
        (cell.id, each.round, each.utterance, each.index)
        for cell in run.cells
        for each in cell.samples
        if each.kind == "timed" and not each.retaken
    )


def wanted(ready: Prepared, rounds: int, runs: int) -> Counter[Taken]:
    """Every timed sample that was asked for, once."""
    names = [
        each.name if len(ready.speech.recordings) > 1 else "" for each in ready.speech.recordings
    ]
    return Counter(
        (cell.id, number, name, index)
        for cell in ready.cells
        for number in range(rounds)
        for name in names
        for index in range(runs)
    )


def latest() -> RunDirectory:
    return directory.find("latest")


__all__ = ["Dutiful", "Killed", "finished", "latest", "measure", "wanted"]
