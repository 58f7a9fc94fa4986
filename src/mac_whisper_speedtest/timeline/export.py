"""A timeline as Chrome trace events: JSON that Perfetto and chrome://tracing open.

The format is the "Trace Event Format" of Chromium's documentation, in its JSON object form: an
array ``traceEvents`` of metadata (``M``), complete (``X``), instant (``i``) and counter (``C``)
events, whose times are microseconds. A run and each of its cells are a process of the trace; the
workers of a cell, which never overlap, follow one another in its one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mac_whisper_speedtest.timeline.analysis_spans import RUN_TRACK, Counter, Instant, Span
from mac_whisper_speedtest.timeline.timeline import Timeline

_THREAD = 1
SYNTHETIC = (
    "the times of this run are not known: its steps were put one after another by their lengths"
)


def to_json(timeline: Timeline) -> bytes:
    """The trace as one JSON document, UTF-8, with a newline at its end."""
    return msgspec.json.encode(document(timeline)) + b"\n"


def document(timeline: Timeline) -> dict[str, Any]:
    """The trace as JSON can hold it; the events after the metadata are in order of time."""
    timed = [
        *(_complete(each) for each in timeline.spans),
        *(_instant(each) for each in timeline.instants),
        *(_counter(each) for each in timeline.counters),
    ]
    # Of spans that begin together the longer one comes first: it holds the others.
    timed.sort(key=lambda event: (event["ts"], -event.get("dur", 0)))
    about = {
        "tool": f"mac-whisper-speedtest {timeline.tool_version}",
        "run": str(timeline.run),
        "run_id": timeline.run_id,
        "started_at": timeline.started_at,
    }
    if timeline.synthetic:
        about["note"] = SYNTHETIC
        timed.insert(0, _note(SYNTHETIC))
    return {
        "traceEvents": [*_metadata(timeline), *timed],
        "displayTimeUnit": "ms",
        "otherData": about,
    }


def _metadata(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for track, name in enumerate(timeline.tracks):
        where = {"ph": "M", "pid": _pid(track), "tid": _THREAD}
        yield {"name": "process_name", **where, "args": {"name": name}}
        yield {"name": "process_sort_index", **where, "args": {"sort_index": track}}
        thread = "rounds" if track == RUN_TRACK else "workers"
        yield {"name": "thread_name", **where, "args": {"name": thread}}


def _complete(span: Span) -> dict[str, Any]:
    # Both ends are rounded, not the length: what lies in a span then stays in it.
    start = _microseconds(span.start_s)
    return {
        "name": span.name,
        "cat": span.kind,
        "ph": "X",
        "ts": start,
        "dur": _microseconds(span.end_s) - start,
        "pid": _pid(span.track),
        "tid": _THREAD,
        "args": {**span.arguments, **({"error": span.error} if span.error else {})},
    }


def _instant(instant: Instant) -> dict[str, Any]:
    return {
        "name": instant.name,
        "cat": instant.kind,
        "ph": "i",
        "s": "t",
        "ts": _microseconds(instant.at_s),
        "pid": _pid(instant.track),
        "tid": _THREAD,
        "args": dict(instant.arguments),
    }


def _counter(counter: Counter) -> dict[str, Any]:
    return {
        "name": counter.name,
        "ph": "C",
        "ts": _microseconds(counter.at_s),
        "pid": _pid(counter.track),
        "tid": _THREAD,
        "args": {"value": counter.value},
    }


def _note(text: str) -> dict[str, Any]:
    where = {"pid": _pid(RUN_TRACK), "tid": _THREAD}
    return {"name": text, "cat": "note", "ph": "i", "s": "g", "ts": 0, **where, "args": {}}


def _pid(track: int) -> int:
    """Viewers give the process 0 a meaning of their own."""
    return track + 1


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
