"""The traces and metrics of a server: their sources, and where they are sent or served."""

import platform
import time
import uuid
from threading import Thread
from typing import TYPE_CHECKING

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from sprocket_grpc import __version__
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.interceptors.call import Interceptor
from sprocket_grpc.interceptors.metrics import CallMetrics
from sprocket_grpc.interceptors.tracing import Tracing
from sprocket_grpc.server.audit_upkeep import AuditUpkeep
from sprocket_grpc.server.health import HealthMonitor
from sprocket_grpc.services.charts.followers import ChartPoller
from sprocket_grpc.storage.pool_metrics import PoolMetrics
from sprocket_grpc.storage.postgres.read_router import ReadRouter
from sprocket_grpc.storage.statement_metrics import Statements
from sprocket_grpc.telemetry.background import Background
from sprocket_grpc.telemetry.event_loop import EventLoopLag
from sprocket_grpc.telemetry.histograms import Histograms
from sprocket_grpc.telemetry.process import observe_process, observed

if TYPE_CHECKING:
    from sprocket_grpc.telemetry.otlp import Senders
    from sprocket_grpc.telemetry.prometheus import PrometheusServer

_SCOPE = "sprocket_grpc"

_FLUSH_SECONDS = 2
"""How long shutdown waits for the collector to accept the remaining traces and metrics."""


class Instrumentation:
    """The traces and metrics of one process.

    Attributes:
        interceptors: The interceptors for every call.
        refusals: The interceptors for requests that are refused before they are calls.
        event_loop_lag: Measures the event loop in the background.
        metrics_port: The port where Prometheus scrapes the metrics, or None if they are not served.
    """

    interceptors: list[Interceptor]
    refusals: list[Interceptor]

    def __init__(self, settings: Settings) -> None:
        histograms = Histograms()
        self._prometheus = _prometheus(settings.metrics_listen, histograms) if settings.metrics_listen else None
        self.metrics_port = self._prometheus.port if self._prometheus else None
        self._senders = _senders(settings.otlp_endpoint, histograms) if settings.otlp_endpoint else None
        resource, tracer = _resource(), None
        readers: list[MetricReader] = [self._prometheus.reader] if self._prometheus else []
        self._tracers = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        if self._senders:
            self._tracers.add_span_processor(BatchSpanProcessor(self._senders.spans))
            readers.append(PeriodicExportingMetricReader(self._senders.metrics))
            tracer = self._tracers.get_tracer(_SCOPE, __version__)
        self._meters = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._meter = self._meters.get_meter(_SCOPE, __version__)
        self._statements = Statements(histograms, tracer)
        self._pools = PoolMetrics(self._meter)
        self.event_loop_lag = EventLoopLag(self._meter)
        self.interceptors = [Tracing(tracer, settings.trace_sample_ratio)] if tracer else []
        calls = CallMetrics(self._meter, histograms)
        self.interceptors.append(calls)
        self.refusals = [calls.refusals]
        observe_process(self._meter)

    def observe(
        self,
        read_router: ReadRouter,
        chart_poller: ChartPoller,
        audit_upkeep: AuditUpkeep,
        monitor: HealthMonitor,
        background: Background,
    ) -> None:
        """Add the metrics of the databases, the chart poller, the audit log, the health and the background tasks."""
        for name, database in read_router.databases.items():
            self._statements.watch(database)
            self._pools.watch(name, database)
        _observe_replicas(self._meter, read_router)
        _observe_following(self._meter, chart_poller)
        _observe_audit_log(self._meter, audit_upkeep)
        _observe_health(self._meter, monitor)
        _observe_background(self._meter, background)

    def close(self) -> None:
        """Send the remaining traces and metrics, and wait at most 2 s, so that the collector cannot delay shutdown."""
        flushes = [Thread(target=each.shutdown, daemon=True) for each in (self._tracers, self._meters)]
        deadline = time.monotonic() + _FLUSH_SECONDS
        for thread in flushes:
            thread.start()
        for thread in flushes:
            thread.join(max(0, deadline - time.monotonic()))
        if self._senders:
            self._senders.spans.cancel()
            self._senders.metrics.cancel()
        if self._prometheus:
            self._prometheus.close()


def _observe_following(meter: Meter, chart_poller: ChartPoller) -> None:
    """Create the metrics of followed charts and their streams."""
    meter.create_observable_gauge(
        "sprocket.chart.followed", [observed(lambda: chart_poller.count)], "{chart}", "Charts that are followed."
    )
    meter.create_observable_gauge(
        "sprocket.chart.streams", [observed(lambda: chart_poller.streams)], "{stream}", "Streams that follow charts."
    )


def _observe_audit_log(meter: Meter, audit_upkeep: AuditUpkeep) -> None:
    """Create the metric of entries without a partition."""
    meter.create_observable_gauge(
        "sprocket.audit.misplaced",
        [observed(lambda: int(audit_upkeep.has_misplaced_entries))],
        description="1 while the audit log has entries without a partition of their month, else 0.",
    )


def _observe_health(meter: Meter, monitor: HealthMonitor) -> None:
    """Create the metric of the server's health."""
    meter.create_observable_gauge(
        "sprocket.health.serving",
        [observed(lambda: int(monitor.problem is None))],
        description="1 while the server is SERVING, else 0.",
    )


def _observe_background(meter: Meter, background: Background) -> None:
    """Create the metric of the restarts of background tasks."""

    def observe(_: CallbackOptions) -> list[Observation]:
        return [Observation(count, {"sprocket.task": name}) for name, count in background.restarts.items()]

    meter.create_observable_counter(
        "sprocket.background.restarts",
        [observe],
        "{restart}",
        "Restarts of background tasks that failed, ended or hung.",
    )


def _observe_replicas(meter: Meter, read_router: ReadRouter) -> None:
    """Create the metric of standbys that are read from."""
    meter.create_observable_gauge(
        "sprocket.database.fresh_standbys",
        [observed(lambda: read_router.fresh)],
        "{database}",
        "Standbys that are fresh enough to read from.",
    )


def _prometheus(listen: str, histograms: Histograms) -> "PrometheusServer":
    from sprocket_grpc.telemetry.prometheus import PrometheusServer  # noqa: PLC0415  # only for SPROCKET_METRICS_LISTEN

    return PrometheusServer(listen, histograms)


def _senders(endpoint: str, histograms: Histograms) -> "Senders":
    from sprocket_grpc.telemetry.otlp import MetricSender, Senders, SpanSender  # noqa: PLC0415  # only for SPROCKET_OTLP_ENDPOINT

    return Senders(SpanSender(endpoint), MetricSender(endpoint, histograms))


def _resource() -> Resource:
    """Return the resource attributes. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override them."""
    defaults = {
        "service.name": "sprocket-grpc",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "process.runtime.name": platform.python_implementation().lower(),
        "process.runtime.version": platform.python_version(),
    }
    return Resource.create(defaults).merge(OTELResourceDetector().detect())
