"""One round of one cell as a task, and the interface of its executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.machine.probe import Probe
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.inputs import TaskRecording, WorkerInputs
from mac_whisper_speedtest.run.plan import Budget, Cell
from mac_whisper_speedtest.run.warmup import WarmUp
from mac_whisper_speedtest.worker.exit_status import WorkerExit
from mac_whisper_speedtest.worker.supervisor import Deadlines


class RoundKey(TypedDict):
    """The worker that an event concerns."""

    cell: str
    round: int
    attempt: int


SampleKey = tuple[str, int]
"""One timed sample of a round: the recording's name, and the index of the pass."""


@dataclass(frozen=True, slots=True)
class Task:
    """One round of one cell.

    Attributes:
        request: of the run, with its threads filled in.
        round: from 0, as ``attempt``.
        passes: timed passes over the recordings.
        inputs: the recordings' files.
        weights: the file or folder that is loaded.
        cores: the logical cores on which other programs would disturb it.
        memory_limit: in bytes, of the worker with everything that it started.
        probes: read around the timed samples.
        warm_up: what earlier processes of the cell have shown of it.
        done: the samples that an earlier attempt of this round has taken.
        crashed_on: names of the recordings that ended an earlier attempt's worker.
    """

    request: Request
    cell: Cell
    round: int
    attempt: int
    passes: int
    model: ModelParams
    weights: Path
    inputs: WorkerInputs
    cores: int
    deadlines: Deadlines
    memory_limit: int | None
    budget: Budget
    work: Path
    warm_up: WarmUp = field(default_factory=WarmUp)
    probes: tuple[Probe, ...] = ()
    done: frozenset[SampleKey] = frozenset()
    crashed_on: frozenset[str] = frozenset()

    @property
    def where(self) -> RoundKey:
        """The fields that identify this task in its events."""
        return {"cell": self.cell.id, "round": self.round, "attempt": self.attempt}

    @property
    def device(self) -> str:
        """The requested device in the backend's own word."""
        return self.cell.backend.device_for(self.request.device) or self.request.device

    @property
    def recordings(self) -> tuple[TaskRecording, ...]:
        """The recordings to transcribe."""
        return self.inputs.recordings

    @property
    def loads_cold(self) -> bool:
        """Whether it loads with a cold page cache, and once more at the end."""
        return self.request.cold_load and self.round == 0

    @property
    def first(self) -> TaskRecording:
        """The recording to warm up with: the first that has not ended a worker."""
        sound = (each for each in self.recordings if each.name not in self.crashed_on)
        return next(sound, self.recordings[0])

    def missing(self, index: int) -> tuple[TaskRecording, ...]:
        """The recordings that pass ``index`` still lacks."""
        return tuple(each for each in self.recordings if (each.name, index) not in self.done)


Executor = Callable[[Task, Callable[[s.Event], None], Observer], WorkerExit]
"""Runs a task, recording every event as it happens, and returns how it ended. A fake one makes the
round loop testable without processes."""
