"""A whole run: prepare, visit every cell in every round, write everything down, seal."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from mac_whisper_speedtest import catalog, interrupts, plan
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.measure import machine
from mac_whisper_speedtest.measure.executor import Executor, Listener, Task, run_in_worker
from mac_whisper_speedtest.measure.preparation import (
    Prepared,
    manifest,
    precision_of,
    weights_of,
)
from mac_whisper_speedtest.measure.summarise import summarise
from mac_whisper_speedtest.models import locate, repair
from mac_whisper_speedtest.models.repair import DamagedError
from mac_whisper_speedtest.models.weights import Weights
from mac_whisper_speedtest.plan import Budget, Cell
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.speech.clip import write_pcm
from mac_whisper_speedtest.worker import messages as m
from mac_whisper_speedtest.worker import process_tree, scratch
from mac_whisper_speedtest.worker.endings import Ending, Status
from mac_whisper_speedtest.worker.supervisor import Deadlines


@dataclass(frozen=True, slots=True)
class Screen:
    """What a person watching gets to hear; all of it may be nothing."""

    visit: Callable[[int, int, str], None] = lambda _round, _rounds, _cell: None
    status: Callable[[str], None] = lambda _text: None
    event: Callable[[s.Event], None] = lambda _event: None
    slow: Callable[[str, m.Stage, float, float], None] = lambda _cell, _stage, _waited, _limit: None
    log: Callable[[str, str], None] = lambda _level, _message: None
    announce: Callable[[str], None] = lambda _text: None


def measure(
    prepared: Prepared,
    screen: Screen,
    *,
    execute: Executor = run_in_worker,
) -> tuple[RunDirectory, s.Run]:
    """Measure everything that was prepared and return the sealed run.

    An interrupt (Ctrl-C, SIGTERM, SIGHUP) seals what there is and comes back as a run whose outcome
    is ``interrupted``. No process and no temporary file outlives this call.

    Raises:
        StorageError: the results cannot be written; what is already on disk stays valid.
    """
    process_tree.sweep_orphans()
    scratch.sweep()
    request = prepared.request
    schedule = plan.schedule([cell.id for cell in prepared.cells], request.rounds, request.seed)
    run_directory = directory.create()
    run_directory.write_manifest(manifest(prepared, run=run_directory.number, schedule=schedule))
    with journal.Journal(run_directory.journal_path) as book, scratch.folder() as work:

        def record(event: s.Event) -> None:
            book.append(event)
            screen.event(event)

        rounds = _Rounds(prepared, work / "audio.f32", record, screen, execute)
        try:
            with interrupts.as_keyboard_interrupt():
                stopped = rounds.visit_all(schedule)
            ended = s.RunEnded(state="stopped" if stopped else "complete", message=stopped)
        except KeyboardInterrupt:
            ended = s.RunEnded(state="interrupted", message="interrupted by the user")
        with interrupts.held_back(then_drop=True):
            record(ended)
    with interrupts.held_back(then_drop=True):
        run = summarise(run_directory.replay())
        run_directory.seal(run)
    return run_directory, run


@dataclass(slots=True)
class _Rounds:
    """The round loop and what it has to remember."""

    prepared: Prepared
    pcm: Path
    record: Callable[[s.Event], None]
    screen: Screen
    execute: Executor
    budgets: dict[str, Budget] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    read_again: set[str] = field(default_factory=set)
    mending_s: float = 0.0
    stopped: str = ""

    def visit_all(self, schedule: Sequence[Sequence[str]]) -> str:
        """Visit every cell of every round; the reason for stopping early, or an empty string."""
        request = self.prepared.request
        write_pcm(self.prepared.clip, self.pcm)
        cells = {cell.id: cell for cell in self.prepared.cells}
        self.budgets = {name: Budget(request.max_time_s, request.rounds) for name in cells}
        for number, visit in enumerate(schedule):
            for name in visit:
                skip = self._reason_to_skip(name, number)
                if skip is not None:
                    self.record(skip)
                    continue
                self.screen.visit(number, request.rounds, name)
                began, self.mending_s = time.monotonic(), 0.0
                ending = self._attempts(cells[name], number)
                # Reading and fetching weights again is no part of what the cell's time is for.
                self.budgets[name].spent_s += time.monotonic() - began - self.mending_s
                if ending.status is not Status.OK:
                    self.failed.add(name)
                    self.stopped = self.stopped or self._reason_to_stop(name)
        return self.stopped

    def _reason_to_skip(self, name: str, number: int) -> s.RoundSkipped | None:
        def skipped(status: str, error_class: str, message: str) -> s.RoundSkipped:
            return s.RoundSkipped(
                cell=name, round=number, status=status, error_class=error_class, message=message
            )

        unavailable = self.prepared.unavailable
        if name in unavailable:
            return skipped("unavailable", "Unavailable", unavailable[name])
        if name in self.failed:
            return skipped("skipped", "FailedBefore", "an earlier round of this cell failed")
        if self.stopped:
            return skipped("skipped", "Stopped", self.stopped)
        if not self.budgets[name].round_worthwhile():
            limit = self.prepared.request.max_time_s
            return skipped("ok", "Budget", f"the cell's {limit:g} s (--max-time) were used up")
        return None

    def _reason_to_stop(self, name: str) -> str:
        if self.prepared.request.fail_fast:
            return f"{name} failed and --fail-fast was given"
        allowed = self.prepared.request.max_failures
        if allowed is not None and len(self.failed) > allowed:
            return f"{len(self.failed)} cells failed and --max-failures is {allowed}"
        return ""

    def _attempts(self, cell: Cell, number: int) -> Ending:
        """Run one round, again after a failure as often as was asked for, and after a repair."""
        left = self.prepared.request.retries
        attempt, repaired = 0, list[str]()
        while True:
            task = replace(self._task(cell, number), attempt=attempt)
            ending, damage = self._attempt(cell, task, repaired)
            if ending.status in {Status.OK, Status.UNAVAILABLE}:
                return ending
            repaired = self._repaired(cell, damage) if damage is not None else []
            if not repaired:
                if left == 0:
                    return ending
                left -= 1
            attempt += 1

    def _attempt(
        self, cell: Cell, task: Task, repaired: list[str]
    ) -> tuple[Ending, DamagedError | None]:
        """One worker, and what is damaged of its weights if it could not load them.

        What was found is in the journal, with the worker's end, before anything is done about it.
        """
        damage: DamagedError | None = None

        def record(event: s.Event) -> None:
            nonlocal damage
            if not isinstance(event, s.WorkerEnded):
                self.record(event)
                return
            found = ""
            try:
                if self._may_be_damaged(cell, event):
                    found, damage = self._read_again(cell)
            finally:
                self.record(
                    msgspec.structs.replace(event, weights_found=scrub(found), repaired=repaired)
                )

        screen = self.screen
        listener = Listener(
            record=record,
            status=screen.status,
            slow=lambda stage, waited, limit: screen.slow(cell.id, stage, waited, limit),
            log=screen.log,
        )
        return self.execute(task, listener), damage

    def _may_be_damaged(self, cell: Cell, ended: s.WorkerEnded) -> bool:
        """Whether to read the weights again: a load failed, for the first time in this cell."""
        return (
            self.prepared.request.repair
            and ended.stage == m.Stage.LOAD
            and ended.status in {Status.FAILED, Status.CRASHED}
            and cell.id not in self.read_again
        )

    def _read_again(self, cell: Cell) -> tuple[str, DamagedError | None]:
        """What is found of a cell's weights and of what they were made from: words, and damage."""
        self.read_again.add(cell.id)
        began = time.monotonic()
        try:
            found = self._found_again(cell)
        except DamagedError as error:
            return error.message, error
        except (SpeedtestError, OSError) as error:  # whatever it is, it is one cell's
            words = f"its weights cannot be read again: {error}"
        else:
            words = "its weights were read again and are whole, so nothing was fetched"
            if found.files != self.prepared.weights[cell.id].files:
                words = "its weights are not those that it began with, and nobody publishes them"
        finally:
            self.mending_s += time.monotonic() - began
        self.screen.announce(scrub(f"{cell.id}: {words}"))
        return words, None

    def _found_again(self, cell: Cell) -> Weights:
        official = functools.partial(locate.official, fresh=True)
        announce = self.screen.announce
        request = self.prepared.request
        return weights_of(cell, request, official, announce=announce, fresh=True)

    def _repaired(self, cell: Cell, damage: DamagedError) -> list[str]:
        """Put weights right; what was done, or nothing where that failed and the failure stands."""
        began = time.monotonic()
        done: list[str] = []
        try:
            self.prepared.weights[cell.id] = repair.repair(
                functools.partial(self._found_again, cell),
                announce=self.screen.announce,
                done=done,
                known=damage,
            )
        except (SpeedtestError, OSError) as error:
            self.screen.announce(scrub(f"{cell.id}: not repaired: {error}"))
            return []
        finally:
            self.mending_s += time.monotonic() - began
        return [scrub(text) for text in done]

    def _task(self, cell: Cell, number: int) -> Task:
        request, clip = self.prepared.request, self.prepared.clip
        weights = self.prepared.weights[cell.id]
        return Task(
            cell=cell,
            round=number,
            attempt=0,
            runs=request.runs,
            model=m.ModelParams(
                weights.model, str(weights.path), weights.form, precision_of(cell.backend, request)
            ),
            audio=m.AudioParams(str(self.pcm), int(clip.samples.size)),
            contract=request.contract,
            device=request.device,
            threads=request.threads,
            deadlines=deadlines(cell, clip.seconds, request.timeout_s),
            memory_limit=request.max_memory or machine.memory_limit(),
            budget=self.budgets[cell.id],
            work=self.pcm.parent,
        )


def deadlines(cell: Cell, audio_s: float, override_s: float | None) -> Deadlines:
    """How long each stage of ``cell`` may take: the size class's time-outs, or one for all."""
    if override_s is not None:
        return Deadlines(
            spawn_s=override_s,
            import_s=override_s,
            load_s=override_s,
            warmup_s=override_s,
            transcribe_s=override_s,
        )
    limits = catalog.model(cell.model).time_outs
    return Deadlines(
        load_s=limits.load_s,
        warmup_s=limits.transcribe_s(audio_s, first=True),
        transcribe_s=limits.transcribe_s(audio_s, first=False),
    )
