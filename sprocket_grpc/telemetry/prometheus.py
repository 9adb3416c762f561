"""Serves the metrics to Prometheus: an HTTP server in a thread of its own, so that scrapes do not delay calls."""

import logging
import socket
import socketserver
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sprocket_grpc.config.addresses import AddressInUseError, split
from sprocket_grpc.telemetry.histograms import Histograms

_IDLE_SECONDS = 10

_log = logging.getLogger(__name__)


class PrometheusServer:
    """An HTTP server that starts when it is created.

    Attributes:
        reader: The reader for the meter provider.
        port: The port on which it listens.
    """

    def __init__(self, listen: str, histograms: Histograms) -> None:
        """Listen on an address.

        Raises:
            AddressInUseError: The address is not available.
        """
        host, port = split(listen)
        registry = CollectorRegistry()
        server_class = _IPv6Server if ":" in host else _Server
        try:
            self._server = make_server(host.strip("[]"), port, make_wsgi_app(registry), server_class, _Handler)
        except OSError:
            raise AddressInUseError(listen, "SPROCKET_METRICS_LISTEN") from None
        self.port = self._server.server_port
        self.reader = _Reader(registry, histograms)
        self._thread = Thread(target=self._server.serve_forever, name="prometheus", daemon=True)
        self._thread.start()
        _log.info("serving metrics on http://%s:%d/metrics", host, self.port)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Reader(PrometheusMetricReader):
    def __init__(self, registry: CollectorRegistry, histograms: Histograms) -> None:
        super().__init__(scope_info_enabled=False, registry=registry)
        self._histograms = histograms

    # The SDK's MetricReader has this as the hook for its subclasses, in spite of the underscore. tests/telemetry/
    # test_metrics.py misses rpc_server_call_duration when it is called no more.
    def _receive_metrics(self, metrics_data: MetricsData, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  # as in the library
        super()._receive_metrics(self._histograms.added_to(metrics_data), *arguments, **named)


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer.server_bind does a DNS look-up, which can take seconds
        host, port = self.socket.getsockname()[:2]
        self.server_name, self.server_port = host, port
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002  # as in the library
        _log.debug("a scrape was cancelled", exc_info=True)


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS  # else a client that sends nothing would occupy a thread for ever

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  # as in the library
        pass  # scrapes are not logged
