"""The Chrome trace of a run, held to the documented format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.events import A, ended, one_round, started
from fakes.runs import timed
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.timeline import export, timeline

REQUIRED = {
    "M": {"name", "ph", "pid", "tid", "args"},
    "X": {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"},
    "i": {"name", "cat", "ph", "s", "ts", "pid", "tid", "args"},
    "C": {"name", "ph", "ts", "pid", "tid", "args"},
}
"""Keys that Chromium's "Trace Event Format" requires of these phases, and this tool's own."""
METADATA = {"process_name": str, "process_sort_index": int, "thread_name": str}


def parsed(events: list[TimedEvent]) -> dict[str, Any]:
    data = export.to_json(timeline.timeline_of(timed(events).run, events))
    document: dict[str, Any] = json.loads(data, parse_constant=pytest.fail)  # no NaN
    return document


def check_format(document: dict[str, Any]) -> None:
    """The JSON object form of the format, as far as Perfetto reads it."""
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert document["displayTimeUnit"] in {"ms", "ns"}
    assert all(isinstance(each, str) for each in document["otherData"].values())
    named = set()
    before = 0
    for event in document["traceEvents"]:
        phase = event["ph"]
        assert set(event) == REQUIRED[phase], event
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["args"], dict)
        assert event["name"]
        if phase == "M":
            (value,) = event["args"].values()
            assert isinstance(value, METADATA[event["name"]])
            named.add((event["pid"], event["tid"]))
            continue
        assert isinstance(event["ts"], int)
        assert event["ts"] >= before
        before = event["ts"]
        assert (event["pid"], event["tid"]) in named
        if phase == "X":
            assert event["dur"] >= 0
        if phase == "i":
            assert event["s"] in {"g", "p", "t"}
        if phase == "C":
            assert event["args"]
            assert all(isinstance(each, int | float) for each in event["args"].values())
    check_slices(document)


def check_slices(document: dict[str, Any]) -> None:
    """On one thread, complete events are disjoint or nested; the outer one comes first."""
    open_until: dict[tuple[int, int], list[int]] = {}
    for event in document["traceEvents"]:
        if event["ph"] != "X":
            continue
        stack = open_until.setdefault((event["pid"], event["tid"]), [])
        while stack and stack[-1] <= event["ts"]:
            stack.pop()
        end = event["ts"] + event["dur"]
        assert not stack or end <= stack[-1], event
        stack.append(end)


def test_the_trace_keeps_to_the_documented_format() -> None:
    check_format(parsed(one_round()))


def test_a_trace_without_times_keeps_to_it_too_and_says_so() -> None:
    document = parsed([TimedEvent(None, each.event) for each in one_round()])
    check_format(document)
    assert document["otherData"]["note"] == export.SYNTHETIC
    notes = [each for each in document["traceEvents"] if each.get("cat") == "note"]
    assert [(each["s"], each["name"]) for each in notes] == [("g", export.SYNTHETIC)]


def test_times_are_microseconds_and_every_span_is_there() -> None:
    document = parsed(one_round())
    spans = [each for each in document["traceEvents"] if each["ph"] == "X"]
    (load,) = [each for each in spans if each["cat"] == "load"]
    assert (load["ts"], load["dur"]) == (3_000_000, 2_000_000)
    assert load["args"]["device"] == "cpu"
    (crashed,) = [each for each in spans if "error" in each["args"]]
    assert crashed["args"]["error"] == "crashed: SIGSEGV"


def test_each_cell_is_a_process_with_its_name_below_the_run() -> None:
    document = parsed(one_round())
    metadata = [each for each in document["traceEvents"] if each["ph"] == "M"]
    names = {
        each["pid"]: each["args"]["name"] for each in metadata if each["name"] == "process_name"
    }
    assert list(names.values()) == ["run 42", "a/tiny.en/speech", "b/tiny.en/speech"]
    assert 0 not in names


def test_about_the_run_there_is_what_names_it_and_nothing_of_its_machine() -> None:
    about = parsed(one_round())["otherData"]
    assert about == {
        "tool": "mac-whisper-speedtest 0.1.0",
        "run": "42",
        "run_id": f"{42:032x}",
        "started_at": "2026-11-20T10:00:00+00:00",
    }


def test_what_was_planted_in_a_message_is_not_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "planted-in-the-environment")
    planted = f"{Path.home()}/w.bin hf_{'b' * 30} planted-in-the-environment"
    events = [
        TimedEvent(0.0, started(A)),
        TimedEvent(1.0, ended(A, status="failed", error_class="E", message=planted)),
    ]
    text = json.dumps(parsed(events))
    assert "failed: " in text
    for secret in ("w.bin", "hf_bbbb", "planted-in"):
        assert secret not in text
