"""`sprocket-grpc health`: whether a server is SERVING, for the health checks of containers."""

from pathlib import Path

import click
import grpc
from grpc_health.v1 import health_pb2

from sprocket_grpc.addresses import reachable
from sprocket_grpc.settings import Settings, load_settings

TIMEOUT_SECONDS = 5


@click.command("health")
@click.option("--service", default="", help="The full name of a service, such as sprocket.v1.FactoryService.")
@click.option("--server", help="The address to ask. Default: SPROCKET_HEALTH_LISTEN, or else SPROCKET_LISTEN.")
@click.option(
    "--tls-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask with TLS, and trust a server whose certificate comes from one of these, in PEM.",
)
def health_command(service: str, server: str | None, tls_ca: Path | None) -> None:
    """Ask a server whether it is SERVING; exit status 0 means yes. For the health checks of containers.

    A server that wants certificates of its clients is asked at its SPROCKET_HEALTH_LISTEN.
    """
    status = _ask(server or _target(load_settings(), tls_ca), service, tls_ca)
    click.echo(status)
    raise SystemExit(0 if status == "SERVING" else 1)


def _target(settings: Settings, tls_ca: Path | None) -> str:
    if settings.tls_certificate and not tls_ca and not settings.health_listen:
        raise click.ClickException("this server speaks TLS: say --tls-ca, or set SPROCKET_HEALTH_LISTEN")
    plain = settings.health_listen if not tls_ca else None
    return reachable(plain or settings.listen)


def _ask(target: str, service: str, tls_ca: Path | None) -> str:
    with _connect(target, tls_ca) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            response = check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise click.ClickException(_explain(error, target, service)) from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def _connect(target: str, tls_ca: Path | None) -> grpc.Channel:
    if tls_ca is None:
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(tls_ca.read_bytes()))


def _explain(error: grpc.RpcError, target: str, service: str) -> str:
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return f"{target} has no service called {service}"
    return f"{target} does not answer: {error.code().name}"
