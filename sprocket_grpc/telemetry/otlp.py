"""Sends traces and metrics to a collector, and logs once when it becomes unavailable and once when it is back."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from sprocket_grpc.telemetry.histograms import Histograms

_log = logging.getLogger(__name__)


class _Reasons(logging.Handler):
    """Captures the log of the library, which has several lines per attempt, to log one line with the last reason."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        for name in ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal"):
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.last = record.getMessage()


_reasons = _Reasons()


class _Outage:
    """Logs when the collector becomes unavailable, and when it is back."""

    def __init__(self, signal: str, endpoint: str) -> None:
        self._signal = signal
        self._endpoint = endpoint
        self._is_unavailable = False

    def note(self, *, success: bool) -> None:
        if success and self._is_unavailable:
            _log.info("%s are sent to %s again", self._signal, self._endpoint)
        elif not success and not self._is_unavailable:
            _log.warning("cannot send %s to %s, they are lost: %s", self._signal, self._endpoint, _reasons.last)
        self._is_unavailable = not success


class SpanSender(OTLPSpanExporter):
    """Sends traces."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._outage = _Outage("traces", endpoint)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = super().export(spans)
        self._outage.note(success=result is SpanExportResult.SUCCESS)
        return result

    def cancel(self) -> None:
        """Cancel the export that is in progress."""
        super().shutdown()


class MetricSender(OTLPMetricExporter):
    """Sends metrics."""

    def __init__(self, endpoint: str, histograms: Histograms) -> None:
        super().__init__(endpoint)
        self._histograms = histograms
        self._outage = _Outage("metrics", endpoint)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:  # noqa: ANN401  # as in the library
        """Send all metrics."""
        result = super().export(self._histograms.added_to(metrics_data), timeout_millis, **kwargs)
        self._outage.note(success=result is MetricExportResult.SUCCESS)
        return result

    def cancel(self) -> None:
        """Cancel the export that is in progress."""
        super().shutdown()


class Senders(NamedTuple):
    """The exporters to one collector."""

    spans: SpanSender
    metrics: MetricSender
