"""Sessions with scripted workers: what the run loop is given instead of processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pytest

from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run import session
from mac_whisper_speedtest.run.monitor import MachineMonitor
from mac_whisper_speedtest.run.plan import cells
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.run.task import Task
from mac_whisper_speedtest.weights.locate import Weights
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit

T_co = TypeVar("T_co", covariant=True)


class Rule(Protocol[T_co]):
    """What happens in a round, by its number and that of the attempt or sample."""

    def __call__(self, number: int, which: int, /) -> T_co: ...


OK = WorkerExit(Status.OK)


CRASH = WorkerExit(Status.CRASHED, "warmup", "SIGSEGV", "crashed")


class Scripted:
    """An executor whose outcome is looked up: (backend, round, attempt) -> ending and seconds."""

    def __init__(self, **endings: Rule[WorkerExit]) -> None:
        self.endings = endings
        self.seconds: dict[str, Rule[float]] = {}
        self.deviates: set[str] = set()
        self.visited: list[tuple[str, int, int]] = []

    def __call__(
        self, task: Task, record: Callable[[s.Event], None], observer: Observer
    ) -> WorkerExit:
        name = task.cell.backend.name
        self.visited.append((name, task.round, task.attempt))
        where = task.where
        record(s.WorkerStarted(**where))
        rule = self.endings.get(name)
        ending = rule(task.round, task.attempt) if rule else OK
        effective = DecodeContract().settings()
        if name in self.deviates:
            effective["beam_size"] = 5
        record(s.Effective(**where, values=effective, observed=[], remarks=[]))
        for index in range(-1, task.passes):
            speed = self.seconds.get(name)
            seconds = speed(task.round, index) if speed else 1.0
            if index < 0 or ending.status is Status.OK:
                record(sample(where, index, seconds))
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


class Unwatched:
    """A machine that is never looked at."""

    def begin(self) -> None:
        pass

    def before_round(self) -> None:
        pass

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched | None:
        return None


def measure(
    prepared: Prepared, execute: Scripted, watcher: MachineMonitor | None = None
) -> tuple[RunDirectory, s.Run]:
    return session.measure(prepared, Observer(), execute=execute, watcher=watcher or Unwatched())


def sample(where: object, index: int, seconds: float) -> s.Sample:
    assert isinstance(where, dict)
    return s.Sample(
        **where,
        index=index,
        kind="warmup" if index < 0 else "timed",
        seconds=seconds,
        wall_s=seconds + 0.001,
        text="the best of times",
        segments=[s.SegmentInfo(start_s=0.0, end_s=2.0, text="the best of times")],
        language="en",
        tokens=None,
        cpu_s=None,
        peak_rss_bytes=None,
    )


@pytest.fixture
def prepared() -> Callable[..., Prepared]:
    """A request for backends a, b and c with nothing behind them."""

    def prepare(*backends: Backend, **changes: Any) -> Prepared:
        measured = backends or tuple(Backend(name=name) for name in ("a", "b", "c"))
        names = tuple(backend.label for backend in measured)
        request = replace(
            Request(models=("tiny.en",), backends=names, rounds=3, threads=1), **changes
        )
        clip = Recording(
            "short", np.full(32000, 0.1, np.float32), "the best of times", "en", "made here"
        )
        planned = cells(request.models, measured, clip.name)
        weights = {
            cell.id: Weights("tiny.en", "own", "float16", Path("w"), {}, 0, "made here")
            for cell in planned
        }
        return Prepared(
            request, AudioSet("short", (clip,), "made here", "clip"), planned, weights, {}
        )

    return prepare


def by_name(run: s.Run) -> dict[str, s.CellResult]:
    return {cell.backend.name: cell for cell in run.cells}


def summary(cell: s.CellResult) -> s.Summary:
    assert cell.summary is not None
    return cell.summary


def noisy(seed: int, seconds: float, spread: float) -> Rule[float]:
    """Times that vary from round to round, the same for every sample of a round."""

    def rule(number: int, _index: int) -> float:
        return seconds * random.Random(f"{seed}/{number}").lognormvariate(0, spread)

    return rule


class Marks:
    """A machine that was disturbed in certain rounds."""

    def __init__(self, *rounds: int) -> None:
        self.rounds = rounds
        self.last: list[int] = []

    def begin(self) -> None:
        pass

    def before_round(self) -> None:
        pass

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched:
        if last:
            self.last.append(number)
        calm = s.ConditionsInfo(values={})
        flagged = "power: mains -> battery" if number in self.rounds else ""
        return s.RoundWatched(round=number, before=calm, after=calm, flagged=flagged)
