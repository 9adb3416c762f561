"""`sprocket-grpc health`: whether a server is SERVING, for the health checks of containers."""

import os

import click
import grpc
from grpc_health.v1 import health_pb2

from sprocket_grpc.cli.client.connection import Connection, connected, connection_options
from sprocket_grpc.cli.client.errors import explain
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.config.addresses import reachable
from sprocket_grpc.config.environment import PREFIX

TIMEOUT_SECONDS = 5


@click.command("health")
@click.option("--service", default="", help="The full name of a service, such as sprocket.v1.FactoryService.")
@connection_options
def health_command(service: str, *, connection: Connection) -> None:
    """Ask a server whether it is SERVING; exit status 0 means yes. For the health checks of containers.

    Without an address and --tls-ca, the server is asked at its SPROCKET_HEALTH_LISTEN if it has one. A server that
    wants certificates of its clients can be asked there too.
    """
    with connected(_where_health_is(connection)) as server:
        status = _ask(server, service)
    click.echo(status)
    raise SystemExit(0 if status == "SERVING" else 1)


def _where_health_is(connection: Connection) -> Connection:
    plain = os.environ.get(f"{PREFIX}HEALTH_LISTEN")
    return connection._replace(server=reachable(plain)) if plain and connection.is_own_server else connection


def _ask(server: Server, service: str) -> str:
    check = server.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        response = check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            raise click.ClickException(f"{server.address} has no service called {service}") from error
        raise explain(error, server) from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
