"""`sprocket-grpc health`: checks whether a server is SERVING, for the health checks of containers."""

import os

import click
import grpc
from grpc_health.v1 import health_pb2

from sprocket.client import ServiceError
from sprocket_grpc.cli.client.connection import Connection, connected, connection_options
from sprocket_grpc.cli.client.errors import explain
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.config.addresses import is_loopback, reachable
from sprocket_grpc.config.environment import PREFIX

TIMEOUT_SECONDS = 5


@click.command("health")
@click.option("--service", default="", help="The full name of a service, such as sprocket.v1.FactoryService.")
@connection_options
def health_command(service: str, *, connection: Connection) -> None:
    """Check whether a server is SERVING; exit status 0 means yes. For the health checks of containers.

    Without --server and --tls-ca, the check uses SPROCKET_HEALTH_LISTEN if it is set. That address needs no TLS, even
    if the server requires client certificates.
    """
    connection = _with_health_address(connection)
    _bypass_proxies(connection.address)
    with connected(connection) as server:
        status = _check(server, service)
    click.echo(status)
    raise SystemExit(0 if status == "SERVING" else 1)


def _with_health_address(connection: Connection) -> Connection:
    health_listen = os.environ.get(f"{PREFIX}HEALTH_LISTEN")
    if not health_listen or not connection.is_own_server:
        return connection
    return connection._replace(server=reachable(health_listen))


def _bypass_proxies(address: str) -> None:
    """Call this machine directly: gRPC reads these variables, and a proxy would call itself at such an address."""
    if is_loopback(address.rpartition(":")[0]):
        for variable in ("grpc_proxy", "https_proxy", "http_proxy"):
            os.environ.pop(variable, None)


def _check(server: Server, service: str) -> str:
    check = server.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        response = check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise click.ClickException(f"{server.address} has no service {service!r}") from error
        raise explain(ServiceError.of(error), server) from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
