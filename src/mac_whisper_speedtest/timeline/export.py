"""A timeline as Chrome trace events: JSON that Perfetto and chrome://tracing open.

The format is the "Trace Event Format" of Chromium's documentation, in its JSON object form: an
array ``traceEvents`` of metadata (``M``), complete (``X``), instant (``i``) and counter (``C``)
events, whose times are microseconds. A run and each of its cells are a process of the trace; the
workers of a cell, which never overlap, follow one another in its one thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.timeline.spans import RUN_TRACK, CounterValue, Instant, Span
from mac_whisper_speedtest.timeline.timeline import Timeline

if TYPE_CHECKING:
    import requests
    from opentelemetry.sdk.trace import Event, ReadableSpan


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


def _counter(counter: CounterValue) -> dict[str, Any]:
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


# A timeline as OpenTelemetry spans, sent to a collector by OTLP over HTTP.
#
# Only after a run, only to the address that was given, and only with the extra ``otel``. What is
# sent says nothing about the process and the machine that send it: none of OpenTelemetry's
# detectors is asked, and ``OTEL_RESOURCE_ATTRIBUTES`` is not read. ``OTEL_EXPORTER_OTLP_HEADERS``,
# ``_TIMEOUT``, ``_COMPRESSION`` and ``_CERTIFICATE`` are, by the exporter; no header is ever
# printed.


SERVICE = "mac-whisper-speedtest"
_BATCH = 512
"""Spans in one request; the SDK's own batch processor sends as many."""
_PATH = "/v1/traces"


def address(text: str) -> str:
    """Where spans are sent to: a collector's address, with the path that OTLP has for traces.

    Raises:
        UsageError: it is no http or https address.
    """
    refused = UsageError(
        f"--otlp is {scrub(text)!r}, not the address of a collector",
        hint="write it like http://localhost:4318",
    )
    try:
        parts = urlsplit(text)
        port_is_sound = parts.port != 0
    except ValueError as error:
        raise refused from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_sound:
        raise refused
    if parts.path in {"", "/"}:
        parts = parts._replace(path=_PATH)
    return urlunsplit(parts)


def shown(endpoint: str) -> str:
    """An address as it may be printed: without a login and what follows the path."""
    parts = urlsplit(endpoint)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def send(timeline: Timeline, endpoint: str) -> int:
    """Send every span, and return how many they were.

    The ids follow from the run, so that what is sent twice is the same trace.

    Args:
        timeline: of the run.
        endpoint: as :func:`address` gives it. Nothing else is asked, redirections included.

    Raises:
        UsageError: OpenTelemetry is not installed, or the collector did not take the spans.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
        from requests import RequestException
    except ImportError as error:
        raise UsageError(
            "sending spans needs OpenTelemetry, which is not installed",
            hint='run: pip install "mac-whisper-speedtest[otel]"',
        ) from error

    found = spans(timeline)
    collector = _Collector()
    with _silent(), collector.session:
        try:
            exporter = OTLPSpanExporter(endpoint=endpoint, session=collector.session)
        except ValueError as error:
            raise UsageError(
                f"the exporter's settings are wrong: {scrub(str(error))}",
                hint="look at the variables OTEL_EXPORTER_OTLP_*",
            ) from error
        for begin in range(0, len(found), _BATCH):
            try:
                taken = exporter.export(found[begin : begin + _BATCH])
            except RequestException:  # some versions let through what they do not try again
                taken = SpanExportResult.FAILURE
            if taken is not SpanExportResult.SUCCESS:
                raise UsageError(
                    f"{shown(endpoint)} took {begin} of {len(found)} spans: {collector.trouble}",
                    hint="check that a collector listens there for OTLP over HTTP, and what "
                    "OTEL_EXPORTER_OTLP_HEADERS it asks for",
                )
    return len(found)


def spans(timeline: Timeline) -> list[ReadableSpan]:
    """The timeline as the SDK's spans, in the same order; instants are events of their spans."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    # Not Resource.create(), which adds what detectors and the environment say of this process.
    resource = Resource({"service.name": SERVICE, "service.version": timeline.tool_version})
    scope = InstrumentationScope(SERVICE, timeline.tool_version)
    began_ns = round(datetime.fromisoformat(timeline.started_at).timestamp()) * 10**9
    trace_id = _trace_id(timeline)
    events = _events(timeline, began_ns)
    found: list[ReadableSpan] = []
    for place, span in enumerate(timeline.spans):
        context = SpanContext(
            trace_id=trace_id,
            span_id=_span_id(trace_id, place),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        failed = Status(StatusCode.ERROR, span.error) if span.error else Status()
        about = {f"speedtest.{name}": value for name, value in span.arguments.items()}
        about["speedtest.kind"] = span.kind
        if span.parent is None and timeline.synthetic:
            about["speedtest.synthetic"] = True
        found.append(
            ReadableSpan(
                name=span.name,
                context=context,
                parent=found[span.parent].get_span_context() if span.parent is not None else None,
                resource=resource,
                attributes=about,
                events=events[place],
                status=failed,
                start_time=began_ns + _nanoseconds(span.start_s),
                end_time=began_ns + _nanoseconds(span.end_s),
                instrumentation_scope=scope,
            )
        )
    return found


def _events(timeline: Timeline, began_ns: int) -> defaultdict[int, list[Event]]:
    """Instants by the place of their span; what was seen of the machine is the run's, place 0."""
    from opentelemetry.sdk.trace import Event

    found: defaultdict[int, list[Event]] = defaultdict(list)
    for instant in timeline.instants:
        said = {f"speedtest.{name}": value for name, value in instant.arguments.items()}
        said["speedtest.kind"] = instant.kind
        found[instant.span].append(Event(instant.name, said, began_ns + _nanoseconds(instant.at_s)))
    seen: defaultdict[float, dict[str, float]] = defaultdict(dict)
    for counter in timeline.counters:
        if counter.track == RUN_TRACK:
            seen[counter.at_s][f"speedtest.{counter.name}"] = counter.value
    for at_s, values in seen.items():
        found[0].append(Event("machine", values, began_ns + _nanoseconds(at_s)))
    return found


def _trace_id(timeline: Timeline) -> int:
    """The run's random id, which has as many bits as a trace's; else from what names the run."""
    with contextlib.suppress(ValueError):
        if known := int(timeline.run_id or "0", 16) % (1 << 128):
            return known
    text = f"{timeline.run} {timeline.started_at}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])


def _span_id(trace_id: int, place: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{trace_id:032x} {place}".encode()).digest()[:8])


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """OpenTelemetry logs what goes wrong, among it headers that it cannot read; we say it."""
    logger = logging.getLogger("opentelemetry")
    before = logger.propagate, logger.handlers
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    try:
        yield
    finally:
        logger.propagate, logger.handlers = before


class _Collector:
    """A connection that goes to no other address, and remembers why a request failed."""

    def __init__(self) -> None:
        import requests

        self.trouble = "nobody answered"
        self.session = requests.Session()
        self.session.max_redirects = 0
        self.session.hooks["response"].append(self._answered)

    def _answered(self, response: requests.Response, **_: object) -> None:
        if response.is_redirect:
            self.trouble = "it sends its callers to another address"
        elif not response.ok:
            self.trouble = f"it answered {response.status_code} {scrub(str(response.reason))}"
