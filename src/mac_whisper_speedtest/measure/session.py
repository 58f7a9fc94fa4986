"""A whole run: prepare, visit every cell in every round, write everything down, seal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from mac_whisper_speedtest import interrupts, plan
from mac_whisper_speedtest.measure import host, meters, stopping
from mac_whisper_speedtest.measure.executor import run_in_worker
from mac_whisper_speedtest.measure.preparation import Prepared, manifest
from mac_whisper_speedtest.measure.rounds import Rounds
from mac_whisper_speedtest.measure.screen import Screen
from mac_whisper_speedtest.measure.summarise import summarise
from mac_whisper_speedtest.measure.task import Executor, Recording
from mac_whisper_speedtest.measure.watch import MachineWatcher, Watcher
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.speech.clip import Clip, write_pcm, write_wav
from mac_whisper_speedtest.worker import messages as m
from mac_whisper_speedtest.worker import process_tree, scratch


def measure(
    prepared: Prepared,
    screen: Screen,
    *,
    execute: Executor = run_in_worker,
    watcher: Watcher | None = None,
) -> tuple[RunDirectory, s.Run]:
    """Measure everything that was prepared and return the sealed run.

    An interrupt (Ctrl-C, SIGTERM, SIGHUP) seals what there is and comes back as a run whose outcome
    is ``interrupted``. No process and no temporary file outlives this call.

    Args:
        prepared: what to measure.
        screen: told what happens.
        execute: carries out a round of a cell; by default in a worker process.
        watcher: looks at the machine around each round; by default a real one.

    Raises:
        StorageError: the results cannot be written; what is already on disk stays valid.
    """
    for concern in host.concerns():
        screen.announce(concern)
    process_tree.sweep_orphans()
    scratch.sweep()
    request = prepared.request
    orders = plan.schedule(
        [cell.id for cell in prepared.cells],
        request.planned_rounds + plan.MAX_REPEATED_ROUNDS,
        request.seed,
    )
    schedule, spare = orders[: request.planned_rounds], orders[request.planned_rounds :]
    run_directory = directory.create()
    head = manifest(prepared, run=run_directory.number, schedule=schedule)
    run_directory.write_manifest(head)
    if request.speech.keep:
        write_wav(prepared.speech.clips[0], run_directory.recording_path)
    with journal.Journal(run_directory.journal_path) as book, scratch.folder() as work:
        told: list[s.Event] = []

        def record(event: s.Event) -> None:
            book.append(event)
            told.append(event)
            screen.event(event)

        try:
            with interrupts.as_keyboard_interrupt(), host.caffeinate():
                rounds = Rounds(
                    prepared=prepared,
                    recordings=_recordings(prepared.speech.clips, work),
                    work=work,
                    record=record,
                    screen=screen,
                    execute=execute,
                    watcher=watcher or MachineWatcher(screen.announce),
                    rule=stopping.rule(head, request, told, record),
                    probes=meters.available() if execute is run_in_worker else (),
                )
                # A rule that may go on takes another round anyway.
                repeats = request.repeat and not request.adaptive
                stopped = rounds.visit_all(schedule, spare if repeats else ())
            ended = s.RunEnded(state="stopped" if stopped else "complete", message=stopped)
        except KeyboardInterrupt:
            ended = s.RunEnded(state="interrupted", message="interrupted by the user")
        with interrupts.held_back(then_drop=True):
            record(ended)
    with interrupts.held_back(then_drop=True):
        run = summarise(run_directory.replay())
        run_directory.seal(run)
    return run_directory, run


def _recordings(clips: Sequence[Clip], work: Path) -> tuple[Recording, ...]:
    """What workers are given: a file for every clip, which stays until the run has ended."""
    found = []
    for number, clip in enumerate(clips):
        path = work / f"{number:05d}.f32"
        linked = False
        if clip.pcm_path is not None:
            # Another name for the cached file: it may be cleared from the cache meanwhile.
            with contextlib.suppress(OSError):
                os.link(clip.pcm_path, path)
                linked = True
        if not linked:
            write_pcm(clip, path)
        name = clip.name if len(clips) > 1 else ""
        found.append(Recording(name, m.AudioParams(str(path), int(clip.samples.size))))
    return tuple(found)
