"""Exports a timeline as Chrome trace JSON (Perfetto, chrome://tracing) or as OpenTelemetry spans.

The trace is Chromium's "Trace Event Format" in its JSON object form: an array ``traceEvents`` of
metadata (``M``), complete (``X``), instant (``i``) and counter (``C``) events, with times in
microseconds. The run and each of its cells are processes of the trace; a cell has one thread, as
its workers never overlap.

Spans go to a collector only on request, only to the given address, and only with the extra
``otel``. They carry nothing about the sending process and machine: no resource detector of
OpenTelemetry runs, and ``OTEL_RESOURCE_ATTRIBUTES`` is not read. The exporter does read
``OTEL_EXPORTER_OTLP_HEADERS``, ``_TIMEOUT``, ``_COMPRESSION`` and ``_CERTIFICATE``; no header is
printed.
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
from mac_whisper_speedtest.printable import escaped_json
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.timeline.spans import RUN_TRACK, CounterValue, Instant, Span
from mac_whisper_speedtest.timeline.timeline import Timeline

if TYPE_CHECKING:
    import requests
    from opentelemetry.sdk.trace import Event, ReadableSpan


_THREAD = 1
SYNTHETIC = (
    "the times of this run are unknown: its steps are placed one after another by their durations"
)


def to_json(timeline: Timeline) -> bytes:
    """The trace as one JSON document, UTF-8, with a newline at its end."""
    return escaped_json(msgspec.json.encode(document(timeline)).decode()).encode() + b"\n"


def document(timeline: Timeline) -> dict[str, Any]:
    """The trace as JSON values; the events after the metadata are in order of time."""
    timed = [
        *(_complete(each) for each in timeline.spans),
        *(_instant(each) for each in timeline.instants),
        *(_counter(each) for each in timeline.counters),
    ]
    # Of spans that begin together the longest comes first: it contains the others.
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
    # Rounding both ends, not the length, keeps children inside their span.
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
    """Process ids start at 1, because viewers treat process 0 specially."""
    return track + 1


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


# OpenTelemetry spans, sent by OTLP over HTTP.


SERVICE = "mac-whisper-speedtest"
_BATCH = 512
"""Spans per request, as many as the SDK's own batch processor sends."""
_PATH = "/v1/traces"


def address(text: str) -> str:
    """A collector's address, completed by OTLP's default path for traces.

    Raises:
        UsageError: it is no http or https address.
    """
    invalid = UsageError(
        f"--otlp is {scrub(text)!r}, not the address of a collector",
        hint="give an address such as http://localhost:4318",
    )
    try:
        parts = urlsplit(text)
        port_is_valid = parts.port != 0
    except ValueError as error:
        raise invalid from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_valid:
        raise invalid
    if parts.path in {"", "/"}:
        parts = parts._replace(path=_PATH)
    return urlunsplit(parts)


def printable_address(endpoint: str) -> str:
    """The address without credentials, query and fragment."""
    parts = urlsplit(endpoint)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def send(timeline: Timeline, endpoint: str) -> int:
    """Send all spans, and return their number.

    The ids are derived from the run, so that sending it twice gives the same trace.

    Args:
        timeline: of the run.
        endpoint: from :func:`address`. No other address is contacted; redirects are not followed.

    Raises:
        UsageError: OpenTelemetry is not installed, or the collector did not accept the spans.
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
                hint="check the variables OTEL_EXPORTER_OTLP_*",
            ) from error
        for begin in range(0, len(found), _BATCH):
            try:
                result = exporter.export(found[begin : begin + _BATCH])
            except RequestException:  # some versions do not catch errors that they do not retry
                result = SpanExportResult.FAILURE
            if result is not SpanExportResult.SUCCESS:
                raise UsageError(
                    f"{printable_address(endpoint)} accepted {begin} of {len(found)} spans: "
                    f"{collector.problem}",
                    hint="check that a collector listens there for OTLP over HTTP, and which "
                    "OTEL_EXPORTER_OTLP_HEADERS it requires",
                )
    return len(found)


def spans(timeline: Timeline) -> list[ReadableSpan]:
    """The timeline as the SDK's spans, in the same order; instants are events of their spans."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    # Not Resource.create(), which adds what detectors and the environment report of this process.
    resource = Resource({"service.name": SERVICE, "service.version": timeline.tool_version})
    scope = InstrumentationScope(SERVICE, timeline.tool_version)
    began_ns = round(datetime.fromisoformat(timeline.started_at).timestamp()) * 10**9
    trace_id = _trace_id(timeline)
    events = _events(timeline, began_ns)
    found: list[ReadableSpan] = []
    for index, span in enumerate(timeline.spans):
        context = SpanContext(
            trace_id=trace_id,
            span_id=_span_id(trace_id, index),
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
                events=events[index],
                status=failed,
                start_time=began_ns + _nanoseconds(span.start_s),
                end_time=began_ns + _nanoseconds(span.end_s),
                instrumentation_scope=scope,
            )
        )
    return found


def _events(timeline: Timeline, began_ns: int) -> defaultdict[int, list[Event]]:
    """Instants by the index of their span; measurements of the machine belong to the run (0)."""
    from opentelemetry.sdk.trace import Event

    found: defaultdict[int, list[Event]] = defaultdict(list)
    for instant in timeline.instants:
        attributes = {f"speedtest.{name}": value for name, value in instant.arguments.items()}
        attributes["speedtest.kind"] = instant.kind
        time_ns = began_ns + _nanoseconds(instant.at_s)
        found[instant.span].append(Event(instant.name, attributes, time_ns))
    machine: defaultdict[float, dict[str, float]] = defaultdict(dict)
    for counter in timeline.counters:
        if counter.track == RUN_TRACK:
            machine[counter.at_s][f"speedtest.{counter.name}"] = counter.value
    for at_s, values in machine.items():
        found[0].append(Event("machine", values, began_ns + _nanoseconds(at_s)))
    return found


def _trace_id(timeline: Timeline) -> int:
    """The run's random id, which has as many bits as a trace id; else derived from its number."""
    with contextlib.suppress(ValueError):
        if known := int(timeline.run_id or "0", 16) % (1 << 128):
            return known
    text = f"{timeline.run} {timeline.started_at}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])


def _span_id(trace_id: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{trace_id:032x} {index}".encode()).digest()[:8])


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress OpenTelemetry's log: it contains malformed headers, and ``send`` reports errors."""
    logger = logging.getLogger("opentelemetry")
    before = logger.propagate, logger.handlers
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    try:
        yield
    finally:
        logger.propagate, logger.handlers = before


class _Collector:
    """A session that follows no redirects and records why a request failed."""

    def __init__(self) -> None:
        import requests

        self.problem = "no answer"
        self.session = requests.Session()
        self.session.max_redirects = 0
        self.session.hooks["response"].append(self._answered)

    def _answered(self, response: requests.Response, **_: object) -> None:
        if response.is_redirect:
            self.problem = "it redirects to another address"
        elif not response.ok:
            self.problem = f"it answered {response.status_code} {scrub(str(response.reason))}"
