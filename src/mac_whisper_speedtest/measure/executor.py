"""Running one round of one cell in a fresh worker process, and writing down what happens."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, TypedDict

from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.measure import findings
from mac_whisper_speedtest.plan import Budget, Cell
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.worker import messages as m
from mac_whisper_speedtest.worker.activity import descendants_cpu_s
from mac_whisper_speedtest.worker.endings import Ending, Status, WorkerFailureError
from mac_whisper_speedtest.worker.launch import launch, not_installed
from mac_whisper_speedtest.worker.supervisor import Deadlines, Events, Worker

_QUIET_WINDOW_S = 0.05
_QUIET_S = 0.009
"""A worker rests when it used less than a fifth of a core for 50 ms: one of the hundredths of a
second that the system counts in. Housekeeping threads wake up for less, and not in each of the ten
windows that make ``findings.BUSY_AFTER_S``; on a busy machine it may get no more than that."""


class Where(TypedDict):
    """Which worker an event is about."""

    cell: str
    round: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Task:
    """One round of one cell: everything a worker has to be told.

    ``round`` and ``attempt`` count from 0.
    """

    cell: Cell
    round: int
    attempt: int
    runs: int
    model: m.ModelParams
    audio: m.AudioParams
    contract: DecodeContract
    device: str
    threads: int
    deadlines: Deadlines
    memory_limit: int | None
    budget: Budget
    work: Path

    @property
    def where(self) -> Where:
        """What every event of this task begins with."""
        return {"cell": self.cell.id, "round": self.round, "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to know what happens: the journal first, then the screen.

    ``record`` is called with every event as it happens; ``status`` with a few words before each
    stage, never during one.
    """

    record: Callable[[s.Event], None]
    status: Callable[[str], None] = lambda _text: None
    slow: Callable[[m.Stage, float, float], None] = lambda _stage, _waited, _limit: None
    log: Callable[[str, str], None] = lambda _level, _message: None


class Executor(Protocol):
    """Something that runs a round; a fake one makes the round loop testable without processes."""

    def __call__(self, task: Task, listener: Listener) -> Ending:
        """Run ``task``, telling ``listener`` everything, and say how it ended."""


@dataclass(slots=True)
class _Said:
    """The last settings a worker reported, to write them only when they change."""

    effective: s.Effective | None = field(default=None)


def run_in_worker(task: Task, listener: Listener) -> Ending:
    """Spawn, load, warm up, sample, end: the real executor."""
    busy_after_s = None
    with tempfile.TemporaryDirectory(dir=task.work, ignore_cleanup_errors=True) as scratch:
        started = launch(task.cell.backend, scratch=Path(scratch), threads=task.threads)
        where = task.where
        listener.record(s.WorkerStarted(**where))
        if started is None:
            ending = Ending(
                Status.UNAVAILABLE,
                m.Stage.SPAWN,
                "NotInstalled",
                not_installed(task.cell.backend),
            )
        else:
            try:
                events = Events(slow=listener.slow, log=listener.log)
                with Worker(
                    started, task.deadlines, memory_limit=task.memory_limit, events=events
                ) as worker:
                    _converse(worker, task, listener)
                    # Nothing is timed any more, so looking disturbs nothing.
                    busy_after_s = _busy_after_s()
                    ending = worker.shutdown()
            except WorkerFailureError as failure:
                ending = failure.ending
    listener.record(
        s.WorkerEnded(
            **where,
            status=ending.status,
            stage=str(ending.stage),
            error_class=ending.error_class,
            message=scrub(ending.message),
            log_tail=scrub(ending.log_tail),
            exit_code=ending.exit_code,
            busy_after_s=busy_after_s,
        )
    )
    return ending


def _converse(worker: Worker, task: Task, listener: Listener) -> None:
    """Everything up to the last answer; what is ``ending`` comes after it."""
    where = task.where
    began = time.monotonic()
    listener.status("starting")
    hello = worker.hello()
    listener.status("loading")
    load = worker.load(m.LoadParams(task.model, task.device, task.threads))
    warnings = findings.fallbacks(
        device=(task.device, load.value.device),
        precision=(task.model.precision, load.value.precision),
    )
    for warning in warnings:
        listener.log("warning", f"{task.cell.id}: {warning}")
    listener.record(
        s.Loaded(
            **where,
            version=hello.value.version,
            versions=hello.value.versions,
            device=load.value.device,
            device_asked=task.device,
            precision=load.value.precision,
            precision_asked=task.model.precision,
            details={key: scrub(value) for key, value in load.value.details.items()},
            spawn_s=worker.spawn_s,
            import_s=hello.value.import_s,
            hello_wall_s=hello.wall_s,
            load_s=load.value.load_s,
            load_wall_s=load.wall_s,
            peak_rss_before_bytes=load.value.peak_rss_before_bytes,
            peak_rss_bytes=load.value.peak_rss_bytes,
            warnings=warnings,
        )
    )
    said = _Said()
    params = m.TranscribeParams(
        audio=task.audio, contract=m.ContractParams(**asdict(task.contract)), kind="warmup"
    )
    listener.status("first call")
    _take(worker, params, index=-1, task=task, listener=listener, said=said)
    timed = m.TranscribeParams(audio=params.audio, contract=params.contract, kind="timed")
    for index in range(task.runs):
        elapsed = time.monotonic() - began
        if not task.budget.another_sample(task.round, in_round=index, elapsed_s=elapsed):
            break
        listener.status(f"sample {index + 1} of {task.runs}")
        _take(worker, timed, index=index, task=task, listener=listener, said=said)
        task.budget.samples += 1
    listener.status("ending")


def _take(
    worker: Worker,
    params: m.TranscribeParams,
    *,
    index: int,
    task: Task,
    listener: Listener,
    said: _Said,
) -> None:
    """Transcribe once and have it on disk before anything else happens."""
    answer = worker.transcribe(params)
    value = answer.value
    where = task.where
    effective = s.Effective(
        **where, values=value.effective, observed=value.observed, remarks=value.remarks
    )
    if effective != said.effective:
        listener.record(effective)
        said.effective = effective
    listener.record(
        s.Sample(
            **where,
            index=index,
            kind=params.kind,
            seconds=value.seconds,
            wall_s=answer.wall_s,
            text=value.text,
            segments=[
                s.SegmentInfo(start_s=each.start_s, end_s=each.end_s, text=each.text)
                for each in value.segments
            ],
            language=value.language,
            tokens=value.tokens,
            cpu_s=value.cpu_s,
            peak_rss_bytes=value.peak_rss_bytes,
        )
    )


def _busy_after_s() -> float | None:
    """For how long the worker goes on computing after its last answer, in seconds.

    There is one worker at a time, so it and what it started are all of this process's descendants.
    Looks until the worker rests, and no longer than ``findings.BUSY_AFTER_S``.

    Returns:
        ``None`` where the system does not tell.
    """
    began = time.monotonic()
    used = descendants_cpu_s()
    waited = 0.0
    while used is not None and waited < findings.BUSY_AFTER_S:
        time.sleep(_QUIET_WINDOW_S)
        before, used = used, descendants_cpu_s()
        if used is not None and used - before < _QUIET_S:
            return waited
        waited = time.monotonic() - began
    return None if used is None else waited
