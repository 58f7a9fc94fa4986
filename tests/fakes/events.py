"""What a run's workers write, event by event; ``changes`` are other fields of an event."""

from __future__ import annotations

from typing import Any

from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent

SPOKEN = "It was the best of times, it was the worst of times, it was the age of wisdom"
SAID = {"u1": "she sells sea shells", "u2": "by the sea shore"}
"""What is said in a single recording, and in the two of a pair."""

A, B = "a/tiny.en/speech", "b/tiny.en/speech"


def started(cell: str, number: int = 0, **changes: Any) -> s.WorkerStarted:
    """A worker was started in round ``number``."""
    return s.WorkerStarted(**{"cell": cell, "round": number, "attempt": 0, **changes})


def loaded(cell: str, number: int = 0, **changes: Any) -> s.Loaded:
    """It has loaded the model."""
    fields: dict[str, Any] = {
        "cell": cell,
        "round": number,
        "attempt": 0,
        "spawn_s": 0.5,
        "import_s": 1.0,
        "hello_wall_s": 1.5,
        "load_s": 1.9,
        "load_wall_s": 2.0,
        "peak_rss_bytes": 100_000_000,
        "version": "1.2.3",
        "versions": {"numpy": "2.4.6"},
        "device": "cpu",
        "device_asked": "auto",
        "precision": "float32",
        "precision_asked": "auto",
        "details": {},
    }
    return s.Loaded(**{**fields, **changes})


def effective(cell: str, number: int = 0, **changes: Any) -> s.Effective:
    """It decodes with the settings of the greedy contract."""
    fields: dict[str, Any] = {
        "cell": cell,
        "round": number,
        "attempt": 0,
        "values": DecodeContract().settings(),
        "observed": ["beam_size", "language"],
        "remarks": [],
        "language": "en",
    }
    return s.Effective(**{**fields, **changes})


def sample(cell: str, index: int, seconds: float, number: int = 0, **changes: Any) -> s.Sample:
    """A transcription of a single recording without a mistake; the warm-up has index -1."""
    fields: dict[str, Any] = {
        "cell": cell,
        "round": number,
        "attempt": 0,
        "index": index,
        "kind": "warmup" if index < 0 else "timed",
        "seconds": seconds,
        "wall_s": seconds,
        "text": SPOKEN,
        "segments": [],
        "language": "en",
        "tokens": 7,
        "cpu_s": None,
        "peak_rss_bytes": 300_000_000,
    }
    return s.Sample(**{**fields, **changes})


def ended(cell: str, number: int = 0, **changes: Any) -> s.WorkerEnded:
    """It has ended well."""
    fields: dict[str, Any] = {
        "cell": cell,
        "round": number,
        "attempt": 0,
        "status": "ok",
        "stage": "",
        "error_class": "",
        "message": "",
        "log_tail": "",
        "exit_code": 0,
    }
    return s.WorkerEnded(**{**fields, **changes})


def watched(number: int = 0, **changes: Any) -> s.RoundWatched:
    """A round on a quiet machine that does not say everything about itself."""
    quiet = s.ConditionsInfo(
        values={"load_average_1m": 0.5, "swap_used_bytes": 0},
        unknown={"thermal_pressure": "Linux has no such level"},
    )
    return s.RoundWatched(**{"round": number, "before": quiet, "after": quiet, **changes})


def one_round() -> list[TimedEvent]:
    """Two cells in one round: one is disturbed, the other crashes; then the canary, and waiting."""

    def spoken(index: int, wall_s: float, **changes: Any) -> s.Sample:
        heard: dict[str, Any] = {"utterance": "u1", "text": SAID["u1"], "peak_rss_bytes": 200}
        return sample(A, index, wall_s - 0.01, wall_s=wall_s, **heard, **changes)

    return [
        TimedEvent(1.0, started(A)),
        TimedEvent(5.0, loaded(A, peak_rss_bytes=100)),
        TimedEvent(8.0, effective(A)),
        TimedEvent(8.5, spoken(-1, 2.5)),
        TimedEvent(10.0, spoken(0, 1.0, disturbed="other programs took 2.0 cores")),
        TimedEvent(11.5, spoken(1, 1.0, stages_s={"encode": 0.4})),
        TimedEvent(12.0, ended(A)),
        TimedEvent(12.5, started(B)),
        TimedEvent(15.0, ended(B, status="crashed", message="SIGSEGV", exit_code=-11)),
        TimedEvent(
            20.0,
            watched(
                before=s.ConditionsInfo(values={"load_average_1m": 0.5, "power_source": "mains"}),
                after=s.ConditionsInfo(values={"load_average_1m": 1.5, "power_mode": "low"}),
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
