"""One round of one cell: a worker, and further workers for its unfinished samples."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.plan import Cell
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.run.task import Executor, SampleKey, Task
from mac_whisper_speedtest.weights import locate, repair
from mac_whisper_speedtest.weights.damage import DamagedError
from mac_whisper_speedtest.weights.locate import Weights
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit


@dataclass(slots=True)
class WeightsRepairer:
    """Verifies weights that a worker could not load, and repairs them where that was requested.

    Attributes:
        spent_s: time used since it was last set to zero; it does not count as the cell's time.
        read: ids of the cells whose weights were verified again.
    """

    prepared: Prepared
    notify: Callable[[str], None]
    spent_s: float = 0.0
    read: set[str] = field(default_factory=set)

    def concerns(self, cell: Cell, ended: s.WorkerEnded) -> bool:
        """Whether to verify the weights again: a load failed, for the first time in this cell."""
        return (
            self.prepared.request.repair
            and ended.stage == m.Stage.LOAD
            and ended.status in {Status.FAILED, Status.CRASHED}
            and cell.id not in self.read
            and not cell.info.kept_by  # there are no files to read
        )

    def reverify(self, cell: Cell) -> tuple[str, DamagedError | None]:
        """Verify a cell's weights and their sources; return the finding in words, and damage."""
        self.read.add(cell.id)
        began = time.monotonic()
        try:
            found = self._found_again(cell)
        except DamagedError as error:
            return error.message, error
        except (SpeedtestError, OSError) as error:  # it concerns one cell only
            words = f"its weights cannot be read again: {error}"
        else:
            words = "its weights were read again and are intact: nothing to repair"
            if found.files != self.prepared.weights[cell.id].files:
                words = "its weights changed after the run began, and no source for them is known"
        finally:
            self.spent_s += time.monotonic() - began
        self.notify(scrub(f"{cell.id}: {words}"))
        return words, None

    def repair(self, cell: Cell, damage: DamagedError) -> list[str]:
        """Repair weights; return what was done, or nothing if the repair failed."""
        began = time.monotonic()
        done: list[str] = []
        try:
            self.prepared.weights[cell.id] = repair.repair(
                functools.partial(self._found_again, cell),
                notify=self.notify,
                done=done,
                known=damage,
            )
        except (SpeedtestError, OSError) as error:
            self.notify(scrub(f"{cell.id}: not repaired: {error}"))
            return []
        finally:
            self.spent_s += time.monotonic() - began
        return [scrub(text) for text in done]

    def _found_again(self, cell: Cell) -> Weights:
        official = functools.partial(locate.official, fresh=True)
        return locate.locate(cell.info, notify=self.notify, official=official, fresh=True)


MAX_CRASHING = 3
"""Recordings of a set that may each end a worker in a round. A backend that crashes on more of them
is broken, and every such recording costs the start of a process, or a whole deadline."""

MAX_SILENT = 1
"""The same while no recording has produced text in that round: after the second one, the backend
most likely fails on all of them."""


@dataclass(slots=True)
class _Outcome:
    """The outcome of one worker.

    Attributes:
        taken: the samples it produced, and whether each is a failure.
        damage: the damage to its weights that kept it from loading them.
    """

    ending: WorkerExit
    taken: dict[SampleKey, bool] = field(default_factory=dict)
    damage: DamagedError | None = None

    @property
    def broke_on(self) -> SampleKey | None:
        """The sample in which the worker ended; ``None`` if it did not end in one of a set."""
        last = next(reversed(self.taken), None)
        transcribing = self.ending.stage in {m.Stage.WARMUP, m.Stage.TRANSCRIBE}
        return last if transcribing and last is not None and self.taken[last] else None


@dataclass(frozen=True, slots=True)
class Attempts:
    """Carries out rounds of cells.

    Attributes:
        execute: runs one worker.
        record: writes an event to the journal.
        retries: how often a failed round is retried.
    """

    execute: Executor
    record: Callable[[s.Event], None]
    observer: Observer
    repairer: WeightsRepairer
    retries: int

    def carry_out(self, task: Task) -> WorkerExit:
        """Start workers until one succeeds or no retry is left; return how the last one ended.

        A later worker takes only the samples that are missing. A failed round is retried as often
        as requested, and after a repair. Beyond that, a recording of a set that ends its worker
        counts as failed in this round, and the next worker continues with the others.
        """
        left, repaired = self.retries, list[str]()
        crashed_on: set[str] = set()
        produced_text = any(name not in task.crashed_on for name, _ in task.done)
        while True:
            worker = self._one(task, repaired)
            if worker.ending.status in {Status.OK, Status.UNAVAILABLE}:
                return worker.ending
            produced_text = produced_text or not all(worker.taken.values())
            broke_on = worker.broke_on
            repaired = (
                self.repairer.repair(task.cell, worker.damage) if worker.damage is not None else []
            )
            if not repaired and left > 0:
                left -= 1
                if broke_on is not None:
                    del worker.taken[broke_on]  # it is retried
            elif not repaired:
                if broke_on is None:
                    return worker.ending
                crashed_on.add(broke_on[0])
                if len(crashed_on) > (MAX_CRASHING if produced_text else MAX_SILENT):
                    return worker.ending
            task = replace(
                task,
                attempt=task.attempt + 1,
                done=task.done | worker.taken.keys(),
                crashed_on=task.crashed_on | crashed_on,
            )
            if broke_on is not None and broke_on in task.done and not task.missing(broke_on[1]):
                task.budget.samples += 1  # its failure was the last of that pass

    def _one(self, task: Task, repaired: list[str]) -> _Outcome:
        """Run one worker; verify its weights if it could not load them.

        The finding is in the journal, with the worker's end, before anything is repaired.
        """
        damage: DamagedError | None = None
        taken: dict[SampleKey, bool] = {}

        def record(event: s.Event) -> None:
            nonlocal damage
            if isinstance(event, s.Sample) and event.kind == "timed" and not event.retaken:
                taken[event.utterance, event.index] = bool(event.failed)
            if not isinstance(event, s.WorkerEnded):
                self.record(event)
                return
            found = ""
            try:
                if self.repairer.concerns(task.cell, event):
                    found, damage = self.repairer.reverify(task.cell)
            finally:
                self.record(
                    msgspec.structs.replace(event, weights_found=scrub(found), repaired=repaired)
                )

        return _Outcome(self.execute(task, record, self.observer), taken, damage)
