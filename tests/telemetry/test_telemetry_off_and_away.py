"""Telemetry that is turned off costs nothing, and an unavailable collector does no harm."""

import signal
import socket
from typing import Any

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.support.collector import Collector, collecting
from tests.support.command_line import PATIENCE_SECONDS, ServeProcess, serving
from tests.support.log_lines import log_lines
from tests.support.ports import free_address
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

COLLECTOR = "sprocket_grpc.telemetry.otlp"
ANY_PORT = "127.0.0.1:0"


def list_locations(served: ServeProcess) -> None:
    """Make a call that always works."""
    with grpc.insecure_channel(served.address) as channel:
        LocationServiceStub(channel).ListLocations(ListLocationsRequest())


def lines_about_the_collector(served: ServeProcess) -> list[dict[str, Any]]:
    """Return the log lines about the collector."""
    return [line for line in log_lines(served) if line["logger"] == COLLECTOR]


def has_received(collector: Collector, served: ServeProcess) -> bool:
    """Make a call, and return whether the collector has received traces and metrics."""
    list_locations(served)
    return bool(collector.traces and collector.metrics)


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_libraries_for_telemetry_that_is_off_are_not_imported(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, is_on: bool
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # logs every import
    settings = {"metrics_listen": ANY_PORT} if is_on else {}
    with serving(database_url=database_url, **settings) as served:
        list_locations(served)
        imported = served.logged
    assert "sqlalchemy" in imported
    assert ("opentelemetry" in imported) is is_on
    assert ("prometheus_client" in imported) is is_on
    assert "opentelemetry.exporter.otlp" not in imported


def test_an_unavailable_collector_is_logged_once_and_so_is_its_recovery(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    address = free_address()
    settings = {"otlp_endpoint": f"http://{address}", "trace_sample_ratio": "1", "log_format": "json"}
    with serving(database_url=database_url, **settings) as served:
        for _ in range(20):
            list_locations(served)
        wait_until(lambda: len(lines_about_the_collector(served)) == 2)
        list_locations(served)
        with collecting(address) as collector:
            wait_until(lambda: has_received(collector, served))
            wait_until(lambda: len(lines_about_the_collector(served)) == 4)
            served.signal(signal.SIGTERM)
            assert served.process.wait(PATIENCE_SECONDS) == 0
        lines = lines_about_the_collector(served)
    assert sorted(line["message"].split()[2] for line in lines[:2]) == ["metrics", "traces"]
    assert all(f"http://{address}" in line["message"] and "UNAVAILABLE" in line["message"] for line in lines[:2])
    assert [line["level"] for line in lines] == ["WARNING"] * 2 + ["INFO"] * 2


@pytest.mark.parametrize("is_there", [True, False], ids=["does not answer", "refuses connections"])
def test_an_unavailable_collector_does_not_delay_shutdown(database_url: str, *, is_there: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        if not is_there:
            silent.close()
        settings = {"otlp_endpoint": f"http://{address}", "trace_sample_ratio": "1"}
        with serving(database_url=database_url, **settings) as served:
            list_locations(served)
            served.signal(signal.SIGTERM)
            assert served.process.wait(8) == 0  # it waits for 2 s, although one attempt takes 10
            assert "Traceback" not in served.logged
