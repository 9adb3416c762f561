"""An OTLP collector in the process of the tests, which keeps all spans and metrics that it receives."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from sprocket_grpc.config.settings import Settings

_SERVICES = "opentelemetry.proto.collector"


@dataclass(frozen=True)
class Span:
    """A received span.

    Attributes:
        name: The name of the span.
        trace_id: The id of the trace, in hexadecimal digits.
        span_id: The id of the span, in hexadecimal digits.
        parent_id: The id of the parent span; empty for a root span.
        kind: The kind, such as `SERVER`.
        is_error: Whether the status is an error.
        attributes: The attributes of the span.
        seconds: The duration.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    is_error: bool
    attributes: dict[str, Any]
    seconds: float


@dataclass
class Collector:
    """A running collector.

    Attributes:
        address: The address that it listens on.
        traces: The received requests with spans.
        metrics: The received requests with metrics.
    """

    address: str = ""
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The URL for exporters."""
        return f"http://{self.address}"

    def settings(self, **fields: Any) -> Settings:
        """Return settings that export to this collector and trace every call, with some fields replaced."""
        return Settings(otlp_endpoint=self.url).model_copy(update={"trace_sample_ratio": 1} | fields)

    @property
    def spans(self) -> list[Span]:
        """All spans received so far, in the order of their ends."""
        return [
            _span(span)
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def calls(self) -> list[Span]:
        """Return the spans of server calls."""
        return [span for span in self.spans if span.kind == "SERVER"]

    def under(self, parent: Span) -> list[Span]:
        """Return the child spans of a span."""
        return [span for span in self.spans if span.parent_id == parent.span_id]

    def last_values(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the last values of a metric by its attributes; for a histogram, its count."""
        return {
            frozenset((each.key, each.value.string_value) for each in point.attributes): _value(point)
            for metric in self._last_metrics()
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        }

    def metric_names(self) -> set[str]:
        """Return the names of all metrics in the last export."""
        return {metric.name for metric in self._last_metrics()}

    def _last_metrics(self) -> Iterator[Any]:
        for resource in self.metrics[-1].resource_metrics:
            for scope in resource.scope_metrics:
                yield from scope.metrics


@contextmanager
def collecting(address: str = "127.0.0.1:0") -> Iterator[Collector]:
    """Run a collector until the block ends."""
    collector = Collector()

    def take_traces(request: ExportTraceServiceRequest, _: object) -> ExportTraceServiceResponse:
        collector.traces.append(request)
        return ExportTraceServiceResponse()

    def take_metrics(request: ExportMetricsServiceRequest, _: object) -> ExportMetricsServiceResponse:
        collector.metrics.append(request)
        return ExportMetricsServiceResponse()

    with ThreadPoolExecutor(2) as executor:
        server = grpc.server(executor)
        _add(server, "trace.v1.TraceService", take_traces, ExportTraceServiceRequest)
        _add(server, "metrics.v1.MetricsService", take_metrics, ExportMetricsServiceRequest)
        collector.address = f"127.0.0.1:{server.add_insecure_port(address)}"
        server.start()
        try:
            yield collector
        finally:
            server.stop(grace=None).wait()


def _add(server: grpc.Server, service: str, method: Any, request: Any) -> None:
    handler: Any = grpc.unary_unary_rpc_method_handler(
        method, request_deserializer=request.FromString, response_serializer=lambda message: message.SerializeToString()
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(f"{_SERVICES}.{service}", {"Export": handler})]
    )


def _span(sent: SentSpan) -> Span:
    values = {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in sent.attributes}
    return Span(
        sent.name,
        sent.trace_id.hex(),
        sent.span_id.hex(),
        sent.parent_span_id.hex(),
        SentSpan.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_"),
        sent.status.code == Status.STATUS_CODE_ERROR,
        values,
        (sent.end_time_unix_nano - sent.start_time_unix_nano) / 1e9,
    )


def _value(point: Any) -> float:
    if hasattr(point, "bucket_counts"):
        return float(point.count)
    return float(getattr(point, point.WhichOneof("value")))
