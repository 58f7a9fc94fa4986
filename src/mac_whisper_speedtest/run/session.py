"""A whole run: prepare, visit every cell in every round, write everything down, seal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from mac_whisper_speedtest import files, interrupts
from mac_whisper_speedtest.audio.recording import Recording, write_pcm, write_wav
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.machine import host, meters
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run import install, plan, stopping
from mac_whisper_speedtest.run import resume as past
from mac_whisper_speedtest.run.execute import run_in_worker
from mac_whisper_speedtest.run.monitor import MachineMonitor, MachineWatcher
from mac_whisper_speedtest.run.prepare import (
    Prepared,
    backends_of,
    manifest,
    prepare,
    resumed,
)
from mac_whisper_speedtest.run.rounds import Rounds
from mac_whisper_speedtest.run.task import Executor, TaskRecording
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.worker import process_tree
from mac_whisper_speedtest.worker import protocol as m


def perform(request: Request, observer: Observer) -> tuple[RunDirectory, s.Run]:
    """Prepare what is requested and measure it, or what an unfinished run of it has left.

    Raises:
        UsageError: the request is wrong or cannot be met.
        WeightsError: weights are not what they should be.
        StorageError: results cannot be written.
    """
    backends = backends_of(request)
    if request.resume is not None:
        past.check(request)
    if request.install:
        install.add_missing(backends, observer.notify)
    prepared = prepare(request, backends, notify=observer.notify, level=observer.level)
    if request.resume is None:
        return measure(prepared, observer)
    decided = past.decide(prepared, request.resume or None)
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
    execute: Executor = run_in_worker,
    watcher: MachineMonitor | None = None,
) -> tuple[RunDirectory, s.Run]:
    """Measure everything that was prepared and return the sealed run.

    An interrupt (Ctrl-C, SIGTERM, SIGHUP) seals what there is and comes back as a run whose outcome
    is ``interrupted``. No process and no temporary file outlives this call.

    Args:
        prepared: what to measure.
        observer: receives what happens meanwhile.
        resume: a run to go on with, which `resumption.decide` found to be of this request.
        execute: carries out a round of a cell; by default in a worker process.
        watcher: looks at the machine around each round; by default a real one.

    Raises:
        StorageError: the results cannot be written; what is already on disk stays valid.
    """
    for concern in host.slowdown_warnings():
        observer.notify(concern)
    process_tree.kill_orphans()
    process_tree.remove_leftover_folders()
    request = prepared.request
    orders = plan.schedule(
        [cell.id for cell in prepared.cells],
        request.planned_rounds + plan.MAX_RETAKEN_ROUNDS,
        request.seed,
    )
    schedule, spare = orders[: request.planned_rounds], orders[request.planned_rounds :]
    run_directory = resume or directory.create()
    # The journal is locked before there is a manifest: nobody takes a run that begins for a lost
    # one. What it holds is read when nobody else can add to it any more.
    with (
        journal.Journal(run_directory.journal_path) as book,
        process_tree.temporary_folder() as work,
    ):
        lines = journal.read_timed(run_directory.journal_path)
        there = past.resume_state(lines)
        told: list[s.Event] = [line.event for line in lines]

        def record(event: s.Event) -> None:
            book.append(event)
            told.append(event)
            observer.event(event)

        if resume is None:
            head = _start_run(run_directory, prepared, schedule)
        else:
            head = resume.replay().manifest
            schedule = head.schedule
            _drop_seal(resume)
            record(resumed())
        try:
            with interrupts.as_keyboard_interrupt(), host.caffeinate():
                rounds = Rounds(
                    prepared=prepared,
                    recordings=_task_recordings(prepared.speech.recordings, work),
                    work=work,
                    record=record,
                    observer=observer,
                    execute=execute,
                    watcher=watcher or MachineWatcher(observer.notify),
                    rule=stopping.rule(head, request, told, record, there),
                    past=there,
                    probes=meters.available() if execute is run_in_worker else (),
                )
                # A rule that may go on takes another round anyway.
                repeats = request.retake and not request.adaptive
                stopped = rounds.visit_all(schedule, spare if repeats else ())
            ended = s.RunEnded(state="stopped" if stopped else "complete", message=stopped)
        except KeyboardInterrupt:
            ended = s.RunEnded(state="interrupted", message="interrupted by the user")
        with interrupts.held_back(then_drop=True):
            record(ended)
    with interrupts.held_back(then_drop=True):
        run = summarize(run_directory.replay())
        run_directory.seal(run)
    return run_directory, run


def resummarize(run: RunDirectory) -> s.Run:
    """A run that has ended, from its journal; it is sealed if that has not been done.

    Raises:
        StorageError: it cannot be read.
    """
    found = summarize(run.replay())
    if not run.sealed_path.exists():
        with contextlib.suppress(StorageError):  # a copy that may only be read can still be shown
            run.seal(found)
    return found


def _start_run(
    run: RunDirectory, prepared: Prepared, schedule: Sequence[Sequence[str]]
) -> s.Manifest:
    """Write what is known beforehand of a new run."""
    head = manifest(prepared, run=run.number, schedule=schedule)
    run.write_manifest(head)
    if prepared.request.keep_recording:
        write_wav(prepared.speech.recordings[0], run.recording_path)
    return head


def _drop_seal(run: RunDirectory) -> None:
    """Take away what was made of a run that goes on; it is made again when that has ended.

    It comes first: a journal with more lines than ``run.json`` knows of would look like damage.

    Raises:
        StorageError: the file cannot be removed.
    """
    try:
        run.sealed_path.unlink(missing_ok=True)
        files.fsync_dir(run.path)
    except OSError as error:
        raise StorageError(
            f"cannot remove {run.sealed_path}: {error.strerror}",
            hint="check the permissions of that folder (ls -ld)",
        ) from error


def _task_recordings(recordings: Sequence[Recording], work: Path) -> tuple[TaskRecording, ...]:
    """What workers are given: a file for every recording, which stays until the run has ended."""
    found = []
    for number, recording in enumerate(recordings):
        path = work / f"{number:05d}.f32"
        linked = False
        if recording.pcm_path is not None:
            # Another name for the cached file: it may be cleared from the cache meanwhile.
            with contextlib.suppress(OSError):
                os.link(recording.pcm_path, path)
                linked = True
        if not linked:
            write_pcm(recording, path)
        name = recording.name if len(recordings) > 1 else ""
        found.append(TaskRecording(name, m.AudioParams(str(path), int(recording.samples.size))))
    return tuple(found)
