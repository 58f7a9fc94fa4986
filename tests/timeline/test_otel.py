"""Spans sent to a local collector, which records its requests."""

from __future__ import annotations

import getpass
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fakes.events import A, ended, one_round, sample, started
from fakes.hub import refusing_port
from fakes.runs import timed
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.timeline import export, timeline
from mac_whisper_speedtest.timeline.timeline import Timeline

needs_otel = pytest.mark.skipif(
    find_spec("opentelemetry") is None, reason="the extra otel is not installed"
)


@dataclass
class Collector:
    """A server for OTLP over HTTP: its address, and every request as received."""

    address: str = ""
    answer: int = 200
    location: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        """Every span that was sent, decoded."""
        return [
            span
            for resource in self.resources
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resources(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        bodies = [ExportTraceServiceRequest.FromString(body) for _, _, body in self.requests]
        return [resource for body in bodies for resource in body.resource_spans]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append((self.path, dict(self.headers), body))
            self.send_response(found.answer)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("no_proxy", "*")
    # What cannot be sent is tried again for so long.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def drawn(events: list[TimedEvent]) -> Timeline:
    return timeline.timeline_of(timed(events).run, events)


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@needs_otel
def test_the_collector_gets_every_span_in_one_trace(collector: Collector) -> None:
    found = drawn(one_round())

    sent = export.send(found, export.address(collector.address))

    assert [path for path, _, _ in collector.requests] == ["/v1/traces"]
    assert sent == len(collector.spans) == len(found.spans)
    assert [each.name for each in collector.spans] == [each.name for each in found.spans]
    assert {each.trace_id.hex() for each in collector.spans} == {f"{42:032x}"}
    assert len({each.span_id for each in collector.spans}) == sent


@needs_otel
def test_parents_times_and_errors_are_those_of_the_timeline(collector: Collector) -> None:
    found = drawn(one_round())
    export.send(found, export.address(collector.address))
    began_ns = 1_795_168_800 * 10**9  # 2026-11-20T10:00:00Z
    for mine, theirs in zip(found.spans, collector.spans, strict=True):
        parent = collector.spans[mine.parent].span_id if mine.parent is not None else b""
        assert theirs.parent_span_id == parent
        assert theirs.start_time_unix_nano == began_ns + round(mine.start_s * 1e9)
        assert theirs.end_time_unix_nano == began_ns + round(mine.end_s * 1e9)
        assert (theirs.status.code == 2) == bool(mine.error)  # STATUS_CODE_ERROR
        assert theirs.status.message == mine.error
        sent = attributes(theirs)
        assert sent["speedtest.kind"] == mine.kind
        assert {f"speedtest.{name}" for name in mine.arguments} < set(sent)


@needs_otel
def test_what_happened_and_the_state_of_the_machine_are_events(collector: Collector) -> None:
    export.send(drawn(one_round()), export.address(collector.address))
    (disturbed,) = [each for each in collector.spans if each.name == "sample 1 (u1)"]
    assert [each.name for each in disturbed.events] == ["disturbed: other programs took 2.0 cores"]
    run = collector.spans[0]
    machine = [attributes(each) for each in run.events if each.name == "machine"]
    assert machine[0] == {"speedtest.load_average_1m": 0.5, "speedtest.canary_s": 0.2}


@needs_otel
def test_nothing_says_who_sent_it(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=planted-host,process.pid=1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "planted-service")
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "process,os,host")
    planted = f"{Path.home()}/w.bin hf_{'c' * 30}"
    events = [
        TimedEvent(0.0, started(A)),
        TimedEvent(1.0, ended(A, status="failed", error_class="E", message=planted)),
    ]
    export.send(drawn(events), export.address(collector.address))
    (resource,) = collector.resources
    assert attributes(resource.resource) == {
        "service.name": "mac-whisper-speedtest",
        "service.version": "0.1.0",
    }
    names = {getpass.getuser(), socket.gethostname()} - {"root", "localhost"}
    secrets = [str(Path.home()) + "/", "w.bin", "hf_ccc", "planted", *names]
    for body in (body for _, _, body in collector.requests):
        assert [each for each in secrets if each.encode() in body] == []
        assert sys.executable.encode() not in body
        assert str(Path.cwd()).encode() not in body


@needs_otel
def test_headers_of_the_environment_are_sent_and_never_shown(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secret = "very-secret-header"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={secret},this is {secret} no header")
    collector.answer = 403
    with caplog.at_level(logging.DEBUG), pytest.raises(UsageError, match="403") as refused:
        export.send(drawn(one_round()), export.address(collector.address))
    headers = {name.lower(): value for name, value in collector.requests[0][1].items()}
    assert headers["x-key"] == secret
    shown = capfd.readouterr()
    for text in (str(refused.value), refused.value.hint, shown.out, shown.err, caplog.text):
        assert secret not in text


@needs_otel
def test_many_spans_go_in_several_requests(collector: Collector) -> None:
    samples = [TimedEvent(1.0 + at, sample(A, at, 0.5, utterance="u1")) for at in range(1200)]
    sent = export.send(
        drawn([TimedEvent(0.5, started(A)), *samples]), f"{collector.address}/v1/traces"
    )
    assert len(collector.requests) == 3
    assert len(collector.spans) == sent == 1203
    assert len({each.span_id for each in collector.spans}) == sent


@needs_otel
def test_redirects_of_a_collector_are_not_followed(collector: Collector) -> None:
    collector.answer, collector.location = 307, f"{collector.address}/elsewhere"
    with pytest.raises(UsageError, match="another address"):
        export.send(drawn(one_round()), export.address(collector.address))
    assert {path for path, _, _ in collector.requests} == {"/v1/traces"}


@needs_otel
def test_where_nobody_listens_is_said_with_the_address_but_no_login(
    collector: Collector,
) -> None:
    with (
        refusing_port() as port,
        pytest.raises(UsageError, match=rf"^http://127\.0\.0\.1:{port}/v1/traces") as refused,
    ):
        export.send(drawn(one_round()), export.address(f"http://me:pass@127.0.0.1:{port}/?key=k"))
    assert "no answer" in str(refused.value)
    assert "pass" not in str(refused.value)


@needs_otel
def test_the_same_run_is_the_same_trace_however_often_it_is_sent(collector: Collector) -> None:
    for _ in range(2):
        export.send(drawn(one_round()), export.address(collector.address))
    first, second = (body for _, _, body in collector.requests)
    assert first == second


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://collector.example/", "https://collector.example/v1/traces"),
        ("https://collector.example/otlp/mine?x=1", "https://collector.example/otlp/mine?x=1"),
    ],
)
def test_an_address_without_a_path_gets_that_of_traces(given: str, used: str) -> None:
    assert export.address(given) == used


@pytest.mark.parametrize(
    "given", ["localhost:4318", "grpc://localhost:4317", "http://", "http://[::1", "http://h:99999"]
)
def test_what_is_no_address_of_a_collector_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="not the address of a collector"):
        export.address(given)


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(UsageError, match="not installed") as refused:
        export.send(drawn(one_round()), "http://127.0.0.1:1/v1/traces")
    assert "mac-whisper-speedtest[otel]" in refused.value.hint
