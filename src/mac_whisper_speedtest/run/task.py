"""One round of one cell as a task, and the interface of its executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypedDict

from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.machine.host import Placement
from mac_whisper_speedtest.machine.probe import Probe
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.plan import Budget, Cell
from mac_whisper_speedtest.worker import protocol as m
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
class TaskRecording:
    """A recording to transcribe: its name in a set (empty for a single one), and its file."""

    name: str
    audio: m.AudioParams

    @property
    def seconds(self) -> float:
        """Duration of the audio."""
        return self.audio.samples / self.audio.sample_rate


@dataclass(frozen=True, slots=True)
class Task:
    """One round of one cell.

    ``round`` and ``attempt`` count from 0; ``passes`` are timed passes over the recordings. The
    ``probes`` are read around the timed samples. With ``cold_load`` the first round loads with a
    cold page cache, and the weights are loaded once more at the end. With ``retake`` a disturbed
    sample is retaken.

    ``done`` are the samples that an earlier attempt of this round has taken. ``crashed_on`` names
    the recordings that ended an earlier attempt's worker.
    """

    cell: Cell
    round: int
    attempt: int
    passes: int
    model: ModelParams
    recordings: tuple[TaskRecording, ...]
    contract: DecodeContract
    device: str
    threads: int
    cores: int
    deadlines: Deadlines
    memory_limit: int | None
    budget: Budget
    work: Path
    probes: tuple[Probe, ...] = ()
    cold_load: bool = False
    retake: bool = True
    weights: Path | None = None
    placement: Placement = field(default_factory=Placement)
    done: frozenset[SampleKey] = frozenset()
    crashed_on: frozenset[str] = frozenset()

    @property
    def where(self) -> RoundKey:
        """The fields that identify this task in its events."""
        return {"cell": self.cell.id, "round": self.round, "attempt": self.attempt}

    @property
    def first(self) -> TaskRecording:
        """The recording of the warm-up: the first that has not ended a worker."""
        sound = (each for each in self.recordings if each.name not in self.crashed_on)
        return next(sound, self.recordings[0])

    def missing(self, index: int) -> tuple[TaskRecording, ...]:
        """The recordings that pass ``index`` still lacks."""
        return tuple(each for each in self.recordings if (each.name, index) not in self.done)


class Executor(Protocol):
    """Runs a round; a fake one makes the round loop testable without processes."""

    def __call__(
        self, task: Task, record: Callable[[s.Event], None], observer: Observer
    ) -> WorkerExit:
        """Run ``task``, recording every event as it happens; return how it ended."""
