"""A whole run: prepare, visit every cell in every round, record everything, seal."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from mac_whisper_speedtest import files, interrupts
from mac_whisper_speedtest.audio.recording import write_wav
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.machine import host, meters
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import LostJournalError
from mac_whisper_speedtest.run import install, plan, stopping
from mac_whisper_speedtest.run import resume as resuming
from mac_whisper_speedtest.run.execute import run_in_worker
from mac_whisper_speedtest.run.inputs import LostFolderError, WorkerInputs
from mac_whisper_speedtest.run.monitor import MachineMonitor, MachineWatcher
from mac_whisper_speedtest.run.prepare import (
    Prepared,
    backends_of,
    manifest,
    prepare,
    resumed,
)
from mac_whisper_speedtest.run.rounds import Rounds
from mac_whisper_speedtest.run.select import measurable
from mac_whisper_speedtest.run.task import Executor
from mac_whisper_speedtest.summary.figures import with_figures
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.worker import ownership

_MANY_EVENTS = 5000
"""Lines of a journal that take seconds to summarize."""


def perform(request: Request, observer: Observer) -> tuple[RunDirectory, s.Run]:
    """Prepare and measure a request, or resume an unfinished run of it.

    Raises:
        UsageError: the request is wrong or cannot be met.
        WeightsNeededError: no weights are here, and they can be fetched.
        WeightsError: weights are damaged.
        StorageError: results cannot be written.
    """
    backends = backends_of(request)
    if request.resume is not None:
        resuming.check(request)
    if request.install:
        install.add_missing(backends, observer.notify)
    backends = measurable(request, backends, notify=observer.notify)
    prepared = prepare(request, backends, notify=observer.notify, level=observer.level)
    if request.resume is None:
        return measure(prepared, observer)
    decided = resuming.decide(prepared, request.resume or None)
    for line in decided.words:
        observer.notify(line)
    if decided.run is not None and decided.complete:
        return decided.run, resummarize(decided.run)
    return measure(decided.prepared, observer, resume=decided.run)


def measure(
    prepared: Prepared,
    observer: Observer,
    *,
    resume: RunDirectory | None = None,
    into: RunDirectory | None = None,
    execute: Executor = run_in_worker,
    watcher: MachineMonitor | None = None,
) -> tuple[RunDirectory, s.Run]:
    """Measure everything that was prepared and return the sealed run.

    An interrupt (Ctrl-C, SIGTERM, SIGHUP) seals the partial run and returns it with the outcome
    ``interrupted``. No process and no temporary file outlives this call. It waits while
    another process measures on this machine.

    Args:
        prepared: what to measure.
        observer: receives progress and events.
        resume: a run to resume, which `resume.decide` found to be of this request.
        into: an empty folder for the run; by default the next one of the user's runs.
        execute: carries out a round of a cell; by default in a worker process.
        watcher: monitors the machine around each round; by default a real one.

    Raises:
        StorageError: the results cannot be written, or the run's files were removed while it ran;
            earlier measurements stay valid.
    """
    # A signal waits except while cells are measured: no half-made run and no file is left behind.
    with host.measuring_alone(observer.notify), interrupts.held_back(then_drop=True):
        return _measure(prepared, observer, resume, into=into, execute=execute, watcher=watcher)


def _measure(
    prepared: Prepared,
    observer: Observer,
    resume: RunDirectory | None,
    *,
    into: RunDirectory | None,
    execute: Executor,
    watcher: MachineMonitor | None,
) -> tuple[RunDirectory, s.Run]:
    concerns = host.slowdown_warnings()
    for concern in concerns:
        observer.notify(concern)
    ownership.kill_orphans()
    ownership.remove_leftover_folders()
    request = prepared.request
    orders = plan.schedule(
        [cell.id for cell in prepared.cells],
        request.planned_rounds + plan.MAX_RETAKEN_ROUNDS,
        request.seed,
    )
    schedule, spare = orders[: request.planned_rounds], orders[request.planned_rounds :]
    run_directory = resume or into or directory.create()
    # The journal is locked before the manifest exists, so that a new run is not mistaken for an
    # abandoned one; and it is read under the lock, when no other process can add to it.
    with (
        journal.Journal(run_directory.journal_path) as book,
        ownership.temporary_folder() as work,
        host.caffeinate() as awake,
    ):
        lines = [] if resume is None else resume.journal().lines
        there = resuming.resume_state(lines)
        events: list[s.Event] = [line.event for line in lines]

        def record(event: s.Event) -> None:
            book.append(event)
            events.append(event)
            observer.event(event)

        if resume is None:
            head = _start_run(run_directory, prepared, schedule, [awake, *concerns])
        else:
            head = resume.replay().manifest
            schedule = head.schedule
            _drop_seal(resume)
            record(resumed())
        limit_s = plan.time_limit_s(request, prepared.speech.seconds)
        limits = (len(prepared.cells) * limit_s, request.budget_s or math.inf)
        observer.began(head, min(limits), events)
        lost: StorageError | None = None
        try:
            with interrupts.released():
                rounds = Rounds(
                    prepared=prepared,
                    inputs=WorkerInputs(prepared.speech.recordings, work, prepared.weights),
                    work=work,
                    record=record,
                    observer=observer,
                    execute=execute,
                    watcher=watcher or MachineWatcher(observer.notify),
                    rule=stopping.rule(head, request, events, record, there),
                    past=there,
                    probes=meters.available() if execute is run_in_worker else (),
                )
                # --budget and --ci-width take further rounds anyway.
                repeats = request.retake and not request.limited_otherwise
                stopped = rounds.visit_all(schedule, spare if repeats else ())
            ended = s.RunEnded(state="stopped" if stopped else "complete", message=stopped)
        except KeyboardInterrupt:
            ended = s.RunEnded(state="interrupted", message="interrupted by the user")
        except (LostFolderError, LostJournalError) as error:
            lost, ended = error, s.RunEnded(state="stopped", message=scrub(error.message))
        try:
            record(ended)
        except LostJournalError as error:
            lost = lost or error
        if lost is not None and not run_directory.manifest_path.exists():
            run_directory.write_manifest(head)
    if len(events) > _MANY_EVENTS:
        observer.notify(f"summarizing {len(events)} lines of the journal")
    run = summarize(run_directory.replay())
    run_directory.seal(run)
    if lost is not None:
        raise lost
    return run_directory, run


def resummarize(run: RunDirectory) -> s.Run:
    """A run that has ended with its figures; it is sealed if that was not done.

    Raises:
        StorageError: it cannot be read.
    """
    found = with_figures(run)
    if not run.sealed_path.exists():
        with contextlib.suppress(StorageError):  # a read-only copy can still be shown
            run.seal(found)
    return found


def _start_run(
    run: RunDirectory,
    prepared: Prepared,
    schedule: Sequence[Sequence[str]],
    remarks: Sequence[str],
) -> s.Manifest:
    """Write the manifest of a new run, and its recording if requested."""
    head = manifest(prepared, run=run.number, schedule=schedule, remarks=remarks)
    run.write_manifest(head)
    if prepared.request.keep_recording:
        write_wav(prepared.speech.recordings[0], run.recording_path)
    return head


def _drop_seal(run: RunDirectory) -> None:
    """Remove the seal of a run that is resumed; it is written again when the run ends.

    Do it before anything is recorded: a journal with more lines than ``run.json`` counts would look
    damaged.

    Raises:
        StorageError: the file cannot be removed.
    """
    try:
        run.sealed_path.unlink(missing_ok=True)
        files.sync_folder(run.path)
    except OSError as error:
        raise StorageError(
            f"cannot remove {run.sealed_path}: {error.strerror}",
            hint="check the permissions of that folder (ls -ld)",
        ) from error
