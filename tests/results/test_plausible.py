"""Events that take more memory than anything that was measured are refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.plausible import EventChecker, ImplausibleError

MADE = run_of(FakeCell("a"), rounds=2, flagged=[1])
MANY = {f"v{number}": "1" for number in range(101)}


def test_every_event_of_a_real_run_is_plausible() -> None:
    checker = EventChecker(MADE.manifest)
    for event in MADE.events:
        checker.check(event)


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        (s.Loaded, {"versions": MANY}, "versions has 101 entries; at most 100"),
        (s.Loaded, {"details": MANY}, "details has 101 entries"),
        (s.Loaded, {"warnings": ["w"] * 101}, "warnings has 101 entries"),
        (s.Effective, {"observed": ["beam_size"] * 101}, "observed has 101 entries"),
        (s.Sample, {"stages_s": dict.fromkeys(MANY, 0.1)}, "stages_s has 101 entries"),
        (s.Sample, {"text": "x" * 70_001}, "has 70001 characters in 10 s of audio; at most 70000"),
        (s.Sample, {"tokens": 70_001}, "has 70001 tokens"),
        (
            s.Sample,
            {"segments": [s.SegmentInfo(start_s=0, end_s=0, text="")] * 70_001},
            "has 70001 segments",
        ),
        (s.Sample, {"index": 1_000_001}, "index is 1000001"),
        (s.WorkerStarted, {"round": 1_000_001}, "round is 1000001"),
        (s.WorkerStarted, {"cell": "x"}, "is of 'x', which is not a cell of the run"),
    ],
)
def test_an_event_out_of_its_bounds_is_not(kind: type, changes: dict[str, Any], why: str) -> None:
    event = next(each for each in MADE.events if isinstance(each, kind))
    with pytest.raises(ImplausibleError, match=f"^{why}"):
        EventChecker(MADE.manifest).check(msgspec.structs.replace(event, **changes))
