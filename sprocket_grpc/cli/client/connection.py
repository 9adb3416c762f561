"""Connects commands to a server: its address, TLS and credentials come from options or the environment."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import grpc

from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.config.addresses import reachable
from sprocket_grpc.config.environment import CLIENT_PREFIX, CLIENT_VARIABLES, PREFIX, unknown_variables

_F = TypeVar("_F", bound=Callable[..., object])

_DEFAULT_LISTEN = "127.0.0.1:50051"

# By default gRPC waits up to two minutes before it reconnects to a server that was unavailable.
_CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2_000)]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Connection(NamedTuple):
    """The connection options, from the command line or the environment.

    Attributes:
        server: The address. None means the server that has the settings of this environment.
        tls_ca: The root certificates, in PEM, that the server's certificate is checked against. None means no TLS.
        tls_certificate: The client certificate, in PEM.
        tls_key: The private key of the client certificate, in PEM.
        api_key_file: A file that holds an API key or a bearer token.
    """

    server: str | None
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    api_key_file: Path | None

    @property
    def address(self) -> str:
        """The address to connect to."""
        return self.server or reachable(os.environ.get(f"{PREFIX}LISTEN") or _DEFAULT_LISTEN)

    @property
    def is_own_server(self) -> bool:
        """Whether the server is the one that has the settings of this environment, without TLS."""
        return not self.server and not self.tls_ca


_OPTIONS = [
    click.option(
        "--tls-ca",
        envvar=f"{CLIENT_PREFIX}TLS_CA",
        show_envvar=True,
        type=_FILE,
        help="Root certificates to check the server's certificate against, in PEM. Turns TLS on.",
    ),
    click.option(
        "--tls-certificate",
        envvar=f"{CLIENT_PREFIX}TLS_CERTIFICATE",
        show_envvar=True,
        type=_FILE,
        help="The client certificate, in PEM, for a server that requires one.",
    ),
    click.option(
        "--tls-key",
        envvar=f"{CLIENT_PREFIX}TLS_KEY",
        show_envvar=True,
        type=_FILE,
        help="The private key of the client certificate, in PEM.",
    ),
    click.option(
        "--api-key-file",
        envvar=f"{CLIENT_PREFIX}API_KEY_FILE",
        show_envvar=True,
        type=_FILE,
        help=f"A file that holds an API key or bearer token. {CLIENT_PREFIX}API_KEY can hold the key itself instead.",
    ),
]


def connection_options(command: _F) -> _F:
    """Add the connection options to a command, which gets them as one argument: `connection`."""
    return connection_options_with_default(f"{PREFIX}LISTEN, or else {_DEFAULT_LISTEN}")(command)


def connection_options_with_default(default: str) -> Callable[[_F], _F]:
    """Make a decorator like `connection_options`.

    Args:
        default: What the command does without `--server`, for its help.
    """

    def decorate(command: _F) -> _F:
        @wraps(command)
        def with_connection(**values: Any) -> object:  # noqa: ANN401  # the command's own arguments
            connection = Connection(**{name: values.pop(name) for name in Connection._fields})
            _check(connection)
            return command(connection=connection, **values)

        for option in reversed([_server_option(default), *_OPTIONS]):
            with_connection = option(with_connection)
        return with_connection  # type: ignore[return-value]  # it takes other arguments, which only click passes

    return decorate


@contextmanager
def connected(connection: Connection) -> Iterator[Server]:
    """Yield the server, with a channel that is open until the block ends.

    Raises:
        ClientError: The options do not fit the server or their files, for example a file is not in PEM.
    """
    if connection.is_own_server and os.environ.get(f"{PREFIX}TLS_CERTIFICATE"):
        raise ClientError(f"{connection.address} speaks TLS, because {PREFIX}TLS_CERTIFICATE is set: pass --tls-ca")
    metadata = _metadata(connection)
    with _channel(connection) as channel:
        yield Server(connection.address, channel, metadata, uses_tls=connection.tls_ca is not None)


def _server_option(default: str) -> Callable[[_F], _F]:
    return click.option(
        "--server",
        envvar=f"{CLIENT_PREFIX}SERVER",
        show_envvar=True,
        metavar="ADDRESS",
        help=f"The address of the server. Default: {default}.",
    )


def _check(connection: Connection) -> None:
    if unknown := unknown_variables(CLIENT_PREFIX, CLIENT_VARIABLES):
        raise click.ClickException("\n".join(unknown))
    if (connection.tls_certificate is None) != (connection.tls_key is None):
        raise click.UsageError("--tls-certificate and --tls-key require each other")
    if connection.tls_certificate and not connection.tls_ca:
        raise click.UsageError("--tls-certificate requires --tls-ca")


def _channel(connection: Connection) -> grpc.Channel:
    if connection.tls_ca is None:
        return grpc.insecure_channel(connection.address, options=_CHANNEL_OPTIONS)
    paths = (connection.tls_ca, connection.tls_key, connection.tls_certificate)
    credentials = grpc.ssl_channel_credentials(*(_read_pem(path) if path else None for path in paths))
    return grpc.secure_channel(connection.address, credentials, options=_CHANNEL_OPTIONS)


def _metadata(connection: Connection) -> tuple[tuple[str, str], ...]:
    path = connection.api_key_file
    secret = _read(path).decode(errors="replace") if path else os.environ.get(f"{CLIENT_PREFIX}API_KEY", "")
    secret = secret.strip()
    if not secret and not path:
        return ()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ClientError(f"{path or f'{CLIENT_PREFIX}API_KEY'}: expected an API key or a token, which has no spaces")
    return (("authorization", f"Bearer {secret}"),)


def _read_pem(path: Path) -> bytes:
    content = _read(path)
    if b"-----BEGIN " not in content:
        raise ClientError(f"{path}: expected PEM, which contains -----BEGIN")
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror or error}") from error
