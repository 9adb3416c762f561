"""Probes over TLS as the kubelet makes them: it verifies no certificate, and has none of its own."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from sprocket_grpc.server.health import LIVENESS, READINESS
from tests.support.callers import certificate, server_certificate
from tests.support.command_line import PATIENCE_SECONDS, ServeProcess, serving

pytestmark = pytest.mark.slow

ROOT = certificate("root")
UNVERIFIED = ssl._create_unverified_context()  # noqa: S323  # as the kubelet connects


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The settings of a server in production with a certificate."""
    paths = {name: str(path) for name, path in server_certificate(ROOT).write(tmp_path).items()}
    return {"environment": "production", "api_keys": "true"} | paths  # pragma: allowlist secret


@pytest.fixture
def server(database_url: str, files: dict[str, str]) -> Iterator[ServeProcess]:
    """A server with the settings of the component `web`, and without a second address for health."""
    with serving(database_url=database_url, web_listen="127.0.0.1:0", web_hosts="sprocket.example", **files) as served:
        yield served


def check(served: ServeProcess, service: str) -> Any:
    """Return the status of a service, over TLS and without a client certificate."""
    # The server cannot see that its certificate is verified here: gRPC's Python can do no other.
    with grpc.secure_channel(served.address, grpc.ssl_channel_credentials(ROOT.pem)) as channel:
        return status(channel, service)


def status(channel: grpc.Channel, service: str) -> Any:
    client: Any = HealthStub(channel)  # the typed client is in the stubs only
    return client.Check(HealthCheckRequest(service=service), timeout=PATIENCE_SECONDS).status


@pytest.mark.parametrize("service", [LIVENESS, READINESS])
def test_a_grpc_probe_over_tls_needs_no_credentials(server: ServeProcess, service: str) -> None:
    assert check(server, service) == HealthCheckResponse.SERVING


@pytest.mark.parametrize("page", ["live", "ready"])
def test_an_https_probe_reaches_the_web_listener_by_the_address_of_the_pod(server: ServeProcess, page: str) -> None:
    [link] = [line.rpartition(" ")[2] for line in server.lines if line.startswith("for browsers and curl: ")]
    assert link.startswith("https://127.0.0.1:")  # not a name in SPROCKET_WEB_HOSTS
    with urlopen(f"{link}healthz/{page}", timeout=PATIENCE_SECONDS, context=UNVERIFIED) as answer:  # noqa: S310  # https
        assert answer.status == 200


def test_a_server_that_requires_client_certificates_refuses_probes_over_tls_but_not_at_its_second_address(
    database_url: str, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(ROOT.pem)
    authority = {"tls_client_ca": str(tmp_path / "ca.crt"), "health_listen": "127.0.0.1:0"}
    with serving(database_url=database_url, **files, **authority) as served:
        with pytest.raises(grpc.RpcError) as raised:
            check(served, READINESS)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        [address] = [line.rpartition(" ")[2] for line in served.lines if line.startswith("health checks without TLS")]
        with grpc.insecure_channel(address) as channel:
            assert status(channel, READINESS) == HealthCheckResponse.SERVING
