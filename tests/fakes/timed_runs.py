"""A run whose every moment is known: what each line of its journal says, and when that was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from fakes.made_runs import Fake, made
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.summary.summarize import summarize

A, B = "a/tiny.en/speech", "b/tiny.en/speech"
AT = {"round": 0, "attempt": 0}


def manifest(rounds: int = 1) -> s.Manifest:
    return made({"a": Fake(), "b": Fake()}, number=42, rounds=rounds).manifest


def started(cell: str, **changes: Any) -> s.WorkerStarted:
    return s.WorkerStarted(**{**AT, "cell": cell, **changes})


def loaded(cell: str, **changes: Any) -> s.Loaded:
    fields: dict[str, Any] = {
        "spawn_s": 0.5,
        "import_s": 1.0,
        "hello_wall_s": 1.5,
        "load_s": 1.9,
        "load_wall_s": 2.0,
        "version": "1.0",
        "versions": {},
        "device": "cpu",
        "precision": "float32",
        "details": {},
        "peak_rss_bytes": 100,
    }
    return s.Loaded(**{**AT, **fields, "cell": cell, **changes})


def effective(cell: str) -> s.Effective:
    return s.Effective(**AT, cell=cell, values={}, observed=[], remarks=[])


def sample(cell: str, index: int, wall_s: float, **changes: Any) -> s.Sample:
    fields: dict[str, Any] = {
        "index": index,
        "kind": "warmup" if index < 0 else "timed",
        "seconds": wall_s - 0.01,
        "wall_s": wall_s,
        "text": "she sells sea shells",
        "segments": [],
        "language": "en",
        "tokens": 4,
        "cpu_s": None,
        "peak_rss_bytes": 200,
        "utterance": "u1",
    }
    return s.Sample(**{**AT, **fields, "cell": cell, **changes})


def ended(cell: str, **changes: Any) -> s.WorkerEnded:
    fields: dict[str, Any] = {
        "status": "ok",
        "stage": "",
        "error_class": "",
        "message": "",
        "log_tail": "",
        "exit_code": 0,
    }
    return s.WorkerEnded(**{**AT, **fields, "cell": cell, **changes})


def watched(**changes: Any) -> s.RoundWatched:
    before = s.ConditionsInfo(values={"load_average_1m": 0.5, "power_source": "mains"})
    after = s.ConditionsInfo(values={"load_average_1m": 1.5, "low_power_mode": False})
    fields: dict[str, Any] = {"round": 0, "before": before, "after": after}
    return s.RoundWatched(**{**fields, **changes})


def one_round() -> list[TimedEvent]:
    """Two cells in one round: one is disturbed, the other crashes; then the canary, and waiting."""
    return [
        TimedEvent(1.0, started(A)),
        TimedEvent(5.0, loaded(A)),
        TimedEvent(8.0, effective(A)),
        TimedEvent(8.5, sample(A, -1, 2.5)),
        TimedEvent(10.0, sample(A, 0, 1.0, disturbed="other programs took 2.0 cores")),
        TimedEvent(11.5, sample(A, 1, 1.0, stages_s={"encode": 0.4})),
        TimedEvent(12.0, ended(A)),
        TimedEvent(12.5, started(B)),
        TimedEvent(15.0, ended(B, status="crashed", message="SIGSEGV", exit_code=-11)),
        TimedEvent(
            20.0,
            watched(
                canary_before_s=0.2,
                canary_after_s=0.5,
                cooled_s=3.0,
                flagged="the canary took 150% longer than at the start",
            ),
        ),
        TimedEvent(20.5, s.RunEnded(state="complete")),
    ]


def resumed(at_s: float = 0.1) -> TimedEvent:
    tool = s.ToolInfo(name="mac-whisper-speedtest", version="0.2.0", git_sha=None)
    return TimedEvent(at_s, s.Resumed(at="2026-11-21T09:00:00+00:00", tool=tool))


def run_of(events: list[TimedEvent], rounds: int = 1) -> s.Run:
    return summarize(assemble(manifest(rounds), [each.event for each in events]))


def write(folder: Path, events: list[TimedEvent]) -> Path:
    """Write the run as a directory, its journal with the times that are known."""
    there = RunDirectory(folder)
    folder.mkdir(parents=True)
    there.write_manifest(manifest())
    with there.journal_path.open("wb") as journal:
        for each in events:
            line = msgspec.to_builtins(each.event)
            if each.at_s is not None:
                line["at_s"] = each.at_s
            journal.write(msgspec.json.encode(line) + b"\n")
    return folder
