"""The round loop: every cell once in each round; disturbed rounds are retaken."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.catalog import Timeouts
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.machine.probe import Probe
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.request import first_rounds
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run import plan
from mac_whisper_speedtest.run.attempts import Attempts, WeightsRepairer
from mac_whisper_speedtest.run.inputs import WorkerInputs
from mac_whisper_speedtest.run.monitor import MachineMonitor
from mac_whisper_speedtest.run.plan import Budget, Cell
from mac_whisper_speedtest.run.prepare import Prepared, precision_of
from mac_whisper_speedtest.run.resume import ResumeState
from mac_whisper_speedtest.run.stopping import Rule
from mac_whisper_speedtest.run.task import Executor, Task
from mac_whisper_speedtest.run.warmup import WarmUp
from mac_whisper_speedtest.worker.exit_status import Status
from mac_whisper_speedtest.worker.supervisor import Deadlines


@dataclass(slots=True)
class Rounds:
    """The round loop and its state.

    Attributes:
        inputs: of every worker.
        work: a folder for files that workers leave behind.
        record: writes an event to the journal.
        execute: carries out a round of a cell.
        rule: decides which cells a round visits.
        probes: read around each worker's timed samples.
        past: what an earlier session of this run measured; it is not measured again.
        budgets: cell id → the time left for it.
        warm_ups: cell id → the observed warm-up of its processes.
        failed: ids of cells that are not visited again.
        stopped: why the run was stopped early; empty if it was not.
    """

    prepared: Prepared
    inputs: WorkerInputs
    work: Path
    record: Callable[[s.Event], None]
    observer: Observer
    execute: Executor
    watcher: MachineMonitor
    rule: Rule
    probes: tuple[Probe, ...]
    past: ResumeState = field(default_factory=ResumeState)
    budgets: dict[str, Budget] = field(default_factory=dict)
    warm_ups: dict[str, WarmUp] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    stopped: str = ""
    cores: int = field(default_factory=describe.default_threads)
    repairer: WeightsRepairer = field(init=False)
    attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        """Give every cell its time, less what an earlier session used."""
        request = self.prepared.request
        limit = plan.time_limit_s(request, self.prepared.speech.seconds)
        rounds = request.planned_rounds if request.limited_otherwise else first_rounds(request)
        self.budgets = {
            cell.id: Budget(
                limit,
                rounds,
                spent_s=self.past.spent_s.get(cell.id, 0.0),
                samples=self.past.passes_of(cell.id, len(self.inputs.recordings)),
                visits=self.past.rounds_of(cell.id),
            )
            for cell in self.prepared.cells
        }
        self.warm_ups = {
            cell.id: WarmUp(self.past.enough_calls.get(cell.id)) for cell in self.prepared.cells
        }
        self.repairer = WeightsRepairer(self.prepared, self.observer.notify)
        self.attempts = Attempts(
            self.execute, self.record, self.observer, self.repairer, request.retries
        )

    def visit_all(self, schedule: Sequence[Sequence[str]], spare: Sequence[Sequence[str]]) -> str:
        """Visit the cells of every round; return the reason for stopping early, or an empty string.

        Args:
            schedule: the ids of the cells in visiting order, a list per round.
            spare: orders for rounds that are retaken; they are numbered after the others.
        """
        ahead = deque(enumerate(schedule))
        orders = dict(enumerate(spare, start=len(schedule)))
        unused = deque(sorted(orders.keys() - set(self.past.replaced_by.values())))
        cells = {cell.id: cell for cell in self.prepared.cells}
        chosen: Collection[str] = ()
        self.watcher.begin()
        while ahead:
            number, visit = ahead.popleft()
            if number < len(schedule):  # one that is retaken visits the same cells again
                chosen = self.rule.cells(number, self.failed, self.budgets)
            if not chosen:
                break
            due = [
                cells[name]
                for name in visit
                if name in chosen and not self.past.visit(name, number).ended
            ]
            if self.stopped:  # the other rounds are recorded as skipped
                if self.prepared.request.adaptive:
                    break
                self._visit_each(due, number)
                continue
            again = self.past.replaced_by.get(number)
            if due:
                again = self._watched(due, number, again, unused, more=bool(ahead))
            if again is not None:
                ahead.appendleft((again, orders[again]))
        else:  # the rule also judges the result of all rounds
            self.rule.cells(len(schedule), self.failed, self.budgets)
        return self.stopped

    def _watched(
        self,
        cells: Sequence[Cell],
        number: int,
        again: int | None,
        unused: deque[int],
        *,
        more: bool,
    ) -> int | None:
        """Visit cells in this order, and monitor the machine before and after.

        Args:
            cells: those that are due in this round.
            number: the round.
            again: the round that replaces it, if an earlier session has decided that.
            unused: numbers of rounds that may still replace one; a chosen one is removed.
            more: whether rounds follow in any case.

        Returns:
            The round that replaces it, if there is one.
        """
        self.watcher.before_round()
        visited = self._visit_each(cells, number)
        last = not more and again is None and not unused
        seen = self.watcher.after_round(number, last=last)
        if seen is None:
            return again
        if again is None and unused and seen.flagged and visited and not self.stopped:
            again = unused.popleft()
            seen = msgspec.structs.replace(seen, replaced_by=again)
        self.record(seen)
        return again

    def _visit_each(self, cells: Sequence[Cell], number: int) -> bool:
        """Visit cells in this order; return whether any of them was measured."""
        measured = [self._visit(cell, number) for cell in cells]
        return any(measured)

    def _visit(self, cell: Cell, number: int) -> bool:
        skip = self._reason_to_skip(cell.id, number)
        if skip is not None:
            self.record(skip)
            return False
        planned = self.budgets[cell.id].rounds
        if number >= planned:
            planned = self.prepared.request.planned_rounds
        self.observer.visit(number, planned, cell.id)
        began, self.repairer.spent_s = time.monotonic(), 0.0
        ending = self.attempts.carry_out(self._task(cell, number))
        for name, file in self.inputs.lost_weights().items():
            self.prepared.unavailable[name] = f"{file} of its weights was changed during the run"
        # Verifying and repairing weights does not count as the cell's time.
        self.budgets[cell.id].spent_s += time.monotonic() - began - self.repairer.spent_s
        self.budgets[cell.id].visits += 1
        if ending.status is not Status.OK:
            self.failed.add(cell.id)
            self.stopped = self.stopped or self._reason_to_stop(cell.id)
        return ending.status is Status.OK

    def _reason_to_skip(self, name: str, number: int) -> s.RoundSkipped | None:
        def skipped(status: str, error_class: str, message: str) -> s.RoundSkipped:
            return s.RoundSkipped(
                cell=name, round=number, status=status, error_class=error_class, message=message
            )

        unavailable = self.prepared.unavailable
        if name in unavailable:
            return skipped("unavailable", ErrorClass.UNAVAILABLE, unavailable[name])
        if name in self.failed:
            return skipped(
                "skipped", ErrorClass.FAILED_BEFORE, "an earlier round of this cell failed"
            )
        if self.stopped:
            return skipped("skipped", ErrorClass.STOPPED, self.stopped)
        if not self.budgets[name].round_worthwhile():
            limit = self.budgets[name].limit_s
            words = f"the cell's --max-time of {limit:g} s was used up"
            return skipped("ok", ErrorClass.BUDGET, words)
        return None

    def _reason_to_stop(self, name: str) -> str:
        if self.prepared.request.fail_fast:
            return f"{name} failed and --fail-fast was given"
        allowed = self.prepared.request.max_failures
        if allowed is not None and len(self.failed) > allowed:
            return f"{len(self.failed)} cells failed and --max-failures is {allowed}"
        return ""

    def _task(self, cell: Cell, number: int) -> Task:
        request = self.prepared.request
        weights = self.prepared.weights[cell.id]
        before = self.past.visit(cell.id, number)
        longest_s = max(recording.seconds for recording in self.inputs.recordings)
        return Task(
            request=request,
            cell=cell,
            round=number,
            attempt=before.attempts,
            passes=plan.passes(request.passes, len(self.inputs.recordings)),
            model=ModelParams(
                weights.model,
                weights.argument,
                weights.format,
                precision_of(cell.backend, request),
            ),
            inputs=self.inputs,
            cores=self.cores,
            deadlines=deadlines(cell.info.timeouts, longest_s, request.timeout_s),
            memory_limit=request.max_memory_bytes or describe.memory_limit(),
            budget=self.budgets[cell.id],
            work=self.work,
            warm_up=self.warm_ups[cell.id],
            probes=self.probes,
            weights=weights.path,
            done=frozenset(before.taken),
            crashed_on=before.crashed_on,
        )


def deadlines(timeouts: Timeouts, audio_s: float, override_s: float | None) -> Deadlines:
    """The deadlines of a cell's stages: the model's own time-outs, or one for all."""
    if override_s is not None:
        return Deadlines(override_s, override_s, override_s, override_s, override_s)
    return Deadlines(
        load_s=timeouts.load_s,
        warmup_s=timeouts.first_call_s(audio_s),
        transcribe_s=timeouts.transcribe_s(audio_s),
    )
