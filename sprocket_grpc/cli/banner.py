"""The lines that `serve` prints once the server is ready: where it listens, and what to type next."""

import shlex
from collections.abc import Callable, Iterator

import click

from sprocket_grpc import __version__
from sprocket_grpc.cli.copying import program
from sprocket_grpc.config.addresses import reachable, split
from sprocket_grpc.config.database_url import describe
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.config.web import web_addresses
from sprocket_grpc.server.run import Started

_METHOD = "sprocket.v1.FactoryService/ListFactories"


def banner(settings: Settings, url: str, workers: int = 1) -> Callable[[Started], None]:
    """Return a function that prints the lines."""

    def print_banner(started: Started) -> None:
        for line in _lines(settings, url, workers, started):
            click.echo(line)

    return print_banner


def _lines(settings: Settings, url: str, workers: int, started: Started) -> Iterator[str]:
    database = describe(url) if settings.database_url else "the embedded PostgreSQL"
    address = _with_port(settings.listen, started.port)
    target = reachable(address)
    yield f"sprocket-grpc {__version__} listens on {address}, with {database}"
    if workers > 1:
        yield f"in {workers} processes"
    if settings.health_listen and started.health_port:
        yield f"health checks without TLS on {_with_port(settings.health_listen, started.health_port)}"
    if settings.metrics_listen and started.metrics_port:
        others = f", and on the next {workers - 1} ports" if workers > 1 else ""
        yield f"metrics on http://{_with_port(settings.metrics_listen, started.metrics_port)}/metrics{others}"
    if started.web_port:
        yield f"for browsers and curl: {_web_address(settings, started.web_port)}/"
    if started.problem:
        yield f"The server is NOT_SERVING: {started.problem}"
    yield "Next, in another terminal:"
    yield from _next_commands(settings, target)
    if started.web_port:
        url = shlex.quote(f"{_web_address(settings, started.web_port)}/{_METHOD}")
        yield f"  curl{_options_of_curl(settings)} --json '{{}}' {url}"
    yield "Press Ctrl-C to stop."


def _next_commands(settings: Settings, target: str) -> Iterator[str]:
    """Yield commands to try, with placeholders in capitals for what only the reader has."""
    tls = " --tls-ca CA" if settings.tls_certificate else ""
    certificate = " --tls-certificate CERTIFICATE --tls-key KEY" if settings.tls_client_ca else ""
    key = " --api-key-file FILE" if _reads_bearers(settings) else ""
    target = shlex.quote(target)  # shells expand the brackets of an IPv6 address
    client = f"--server {target}{tls}{certificate}"
    yield f"  {program()} health {client}"
    yield f"  {program()} list factories {client}{key}"
    if settings.database_url is None:
        yield f"  {program()} demo 'Factory 1' {client}{key}"
    yield f"  grpcurl {_options(settings)} {target} {_METHOD}"


def _with_port(listen: str, port: int) -> str:
    return f"{split(listen)[0]}:{port}"


def _options(settings: Settings) -> str:
    """Return the options of grpcurl."""
    transport = ["-cacert CA"] if settings.tls_certificate else ["-plaintext"]
    client = ["-cert CERTIFICATE -key KEY"] if settings.tls_client_ca else []
    bearer = ["-H 'authorization: Bearer KEY'"] if _reads_bearers(settings) else []
    contract = [] if settings.reflects else ["-import-path protos -proto sprocket/v1/factory.proto"]
    return " ".join(transport + client + bearer + contract)


def _options_of_curl(settings: Settings) -> str:
    """Return its options, each after a space. The web listener takes no client certificates."""
    tls = " --cacert CA" if settings.tls_certificate else ""
    return tls + (" -H 'authorization: Bearer KEY'" if _reads_bearers(settings) else "")


def _web_address(settings: Settings, port: int) -> str:
    scheme, host = "https" if settings.tls_certificate else "http", split(web_addresses(settings)[0])[0]
    return f"{scheme}://{reachable(f'{host}:{port}')}"


def _reads_bearers(settings: Settings) -> bool:
    return bool(settings.api_keys or settings.jwt_jwks)
