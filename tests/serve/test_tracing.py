"""Spans as a collector receives them, over real OTLP/HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is missing")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from serve.tracing import Tracing
from tests.serve.rows import LINE, decision, error, observed

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
START_NS = 1_795_255_200_123_456_000  # of the row


class Collector(HTTPServer):
    """Keeps every request that comes in."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
    thread.start()
    yield collector
    collector.shutdown()
    thread.join()
    collector.server_close()


def sent(collector: Collector, *given: tuple[dict[str, object], str], share: float) -> list[Span]:
    """The spans that arrive for rows with their traceparent."""
    tracing = Tracing(collector.endpoint, share, "edge-1", "0.1.0")
    for row, traceparent in given:
        tracing.add(observed(row, traceparent=traceparent))
    tracing.stop()
    return collector.spans()


def test_trace_of_the_client_is_continued_with_a_span_for_each_stage(collector: Collector) -> None:
    spans = sent(collector, (decision(), SAMPLED), share=0.0)
    named = {span.name: span for span in spans}
    root = named.pop("inspect")
    assert root.trace_id.hex() == TRACE
    assert root.parent_span_id.hex() == PARENT
    assert set(named) == {"wait", "decode", "engine", "decide", "spool"}
    assert {span.parent_span_id for span in named.values()} == {root.span_id}
    times = [
        (span.start_time_unix_nano - START_NS, span.end_time_unix_nano - START_NS)
        for span in (named[n] for n in ("wait", "decode", "engine", "decide", "spool"))
    ]
    ends = [1_000_000, 3_500_000, 7_500_000, 8_000_000, 8_250_000]
    assert times == list(zip([0, *ends[:-1]], ends, strict=True))
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (START_NS, START_NS + ends[-1])


def test_span_says_what_was_answered_and_names_no_part(collector: Collector) -> None:
    (root, *_) = (s for s in sent(collector, (decision(), SAMPLED), share=0) if s.name == "inspect")
    about = {pair.key: pair.value for pair in root.attributes}
    assert about["vision.verdict"].string_value == "PASS"
    assert about["vision.release"].string_value == f"{LINE}@1"
    assert about["vision.decision"].string_value == "edge-1/0123456789ab/7"
    assert "SECRET-SERIAL" not in str(collector.requests)


def test_frame_without_a_verdict_is_an_error(collector: Collector) -> None:
    (root, *_) = (s for s in sent(collector, (error(), SAMPLED), share=0) if s.name == "inspect")
    assert root.status.code == root.status.STATUS_CODE_ERROR
    assert root.status.message == "truncated"


@pytest.mark.parametrize(
    ("traceparent", "share", "is_traced"),
    [
        (SAMPLED, 0.0, True),
        (UNSAMPLED, 1.0, False),
        ("", 0.0, False),
        ("", 1.0, True),
        ("rubbish", 0.0, False),
        ("rubbish", 1.0, True),
    ],
)
def test_who_is_traced(
    collector: Collector, traceparent: str, share: float, is_traced: bool
) -> None:
    assert bool(sent(collector, (decision(), traceparent), share=share)) is is_traced


def test_collector_that_does_not_answer_stops_nobody() -> None:
    tracing = Tracing("http://127.0.0.1:9/v1/traces", 1.0, "edge-1", "0.1.0")
    tracing.add(observed(decision()))
    tracing.stop()
