"""Traces over OTLP, on request: one span for a frame, with one below it for each stage.

Spans are made from the rows, after the answer has left, so that a traced frame costs no more than
another. A frame that brings a W3C ``traceparent`` continues that trace, and is sampled as its
parent is; of the others a share is. No span holds a serial or a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serve.observations import Observed

_ATTRIBUTES = ("line", "camera", "product", "frame_id", "release", "verdict", "score", "engine")
_TIMEOUT_S = 3.0
_NS_PER_MS = 1_000_000


class Tracing:
    """Makes spans of rows and sends them to a collector; a sink of `serve.observations`."""

    def __init__(self, endpoint: str, share: float, host: str, version: str) -> None:
        """Send to an OTLP/HTTP collector.

        Args:
            endpoint: Such as ``http://127.0.0.1:4318/v1/traces``.
            share: Of the frames without a ``traceparent`` that are traced, in [0, 1].
            host: Name of this host.
            version: Of the server.
        """
        resource = Resource.create(
            {"service.name": "vision-serve", "service.version": version, "host.name": host}
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=resource,
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("vision-serve", version)
        self._parents = TraceContextTextMapPropagator()

    def add(self, observed: Sequence[Observed]) -> None:
        """Make the spans of some frames."""
        for row, traceparent in observed:
            self._trace(row, traceparent)

    def stop(self) -> None:
        """Send what is left, and end; a collector that does not answer is waited for briefly."""
        self._provider.force_flush(int(_TIMEOUT_S * 1000))
        self._provider.shutdown()

    def _trace(self, row: Mapping[str, object], traceparent: str) -> None:
        start_ns = _nanoseconds(str(row["received_at"]))
        span = self._tracer.start_span(
            "inspect",
            context=self._parents.extract({"traceparent": traceparent}),
            kind=SpanKind.SERVER,
            start_time=start_ns,
        )
        if not span.is_recording():
            return
        for name in _ATTRIBUTES:
            value = row.get(name)
            if isinstance(value, str | float):
                span.set_attribute(f"vision.{name}", value)
        span.set_attribute("vision.decision", f"{row['host']}/{row['boot']}/{row['sequence']}")
        if error := row.get("error"):
            span.set_attribute("vision.error", str(error))
            span.set_status(Status(StatusCode.ERROR, str(error)))
        within, end_ns = set_span_in_context(span), start_ns
        for name, milliseconds in _stages(row):
            child = self._tracer.start_span(name, context=within, start_time=end_ns)
            end_ns += int(milliseconds * _NS_PER_MS)
            child.end(end_ns)
        span.end(max(end_ns, start_ns + int(_number(row, "total_ms") * _NS_PER_MS)))


def _stages(row: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """The stages of a frame that has been looked at, in order, with their milliseconds."""
    if "engine_ms" in row:
        wait, decode, engine = (_number(row, f"{name}_ms") for name in ("wait", "decode", "engine"))
        yield from (("wait", wait), ("decode", decode), ("engine", engine))
        # All that lies between the engine's answer and the row: merge, calibrate, decide.
        yield "decide", max(0.0, _number(row, "total_ms") - wait - decode - engine)
    elif "wait_ms" in row:
        yield "wait", _number(row, "wait_ms")
    if "spool_ms" in row:
        yield "spool", _number(row, "spool_ms")


def _number(row: Mapping[str, object], name: str) -> float:
    value = row.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _nanoseconds(moment: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time."""
    return int(datetime.fromisoformat(moment).timestamp() * 1e6) * 1000
