"""Connects commands to a server: its address, TLS and credentials come from options or the environment."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import grpc

from sprocket.client.channel import CONNECTION_OPTIONS
from sprocket_grpc.cli.client.address import EXPECTED, AddressType, is_address, is_local
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.client.output import prepare_streams
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.config.addresses import reachable
from sprocket_grpc.config.environment import CLIENT_PREFIX, CLIENT_VARIABLES, PREFIX, unknown_variables

_F = TypeVar("_F", bound=Callable[..., object])

_DEFAULT_LISTEN = "127.0.0.1:50051"

_LONGEST_RESPONSE_BYTES = 16 << 20

_CHANNEL_OPTIONS = [
    # Without the service config, whose health checks would hide why a server is not ready.
    *CONNECTION_OPTIONS,
    # By default 4 MiB, which pages of servers before 0.1.0 can exceed.
    ("grpc.max_receive_message_length", _LONGEST_RESPONSE_BYTES),
]
_WITHOUT_PROXY = ("grpc.enable_http_proxy", 0)
"""gRPC would ask the proxy of http_proxy to connect to its own loopback address."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Connection(NamedTuple):
    """The connection options, from the command line or the environment.

    Attributes:
        server: The address. None means the server that has the settings of this environment.
        tls_ca: The root certificates, in PEM, that the server's certificate is checked against. None means no TLS.
        tls_certificate: The client certificate, in PEM.
        tls_key: The private key of the client certificate, in PEM.
        api_key_file: A file that holds an API key or a bearer token.
        insecure: Whether the key may be sent to another machine without TLS.
    """

    server: str | None
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    api_key_file: Path | None
    insecure: bool = False

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
    click.option(
        "--insecure",
        envvar=f"{CLIENT_PREFIX}INSECURE",
        show_envvar=True,
        is_flag=True,
        help="Send the API key or token without TLS even to another machine, where the network can read it.",
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
            prepare_streams()
            connection = Connection(**{name: values.pop(name) for name in Connection._fields})
            _check(connection)
            _check_texts(values)
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
    _check_own_server(connection)
    api_key = _api_key(connection)
    if api_key:
        _check_secrecy(connection)
    with _channel(connection) as channel:
        yield Server(connection.address, channel, api_key, uses_tls=connection.tls_ca is not None)


def _server_option(default: str) -> Callable[[_F], _F]:
    return click.option(
        "--server",
        envvar=f"{CLIENT_PREFIX}SERVER",
        show_envvar=True,
        type=AddressType(),
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


def _check_own_server(connection: Connection) -> None:
    if connection.is_own_server and os.environ.get(f"{PREFIX}TLS_CERTIFICATE"):
        raise ClientError(f"{connection.address} speaks TLS, because {PREFIX}TLS_CERTIFICATE is set: pass --tls-ca")
    if not connection.server and not is_address(connection.address):  # an invalid --server is refused earlier
        raise ClientError(f"{PREFIX}LISTEN: {EXPECTED}, not {connection.address!r}")


def _check_secrecy(connection: Connection) -> None:
    """Refuse to send a key where the network can read it, unless the user says so."""
    if not (connection.tls_ca or connection.insecure or is_local(connection.address)):
        raise ClientError(
            f"the API key or token would be sent to {connection.address} without TLS: pass --tls-ca, or --insecure to "
            "send it where the network can read it"
        )


def _check_texts(values: dict[str, Any]) -> None:
    """Refuse bytes on the command line that are not UTF-8, which names of files may have, but no message."""
    context = click.get_current_context()
    for parameter in context.command.params:
        value = None if isinstance(parameter.type, click.Path) else values.get(parameter.name or "")
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and not _is_utf_8(text):
                raise click.BadParameter(f"expected text in UTF-8, not {text!r}", context, parameter)


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _channel(connection: Connection) -> grpc.Channel:
    options = [*_CHANNEL_OPTIONS, *([_WITHOUT_PROXY] if is_local(connection.address) else [])]
    if connection.tls_ca is None:
        return grpc.insecure_channel(connection.address, options=options)
    paths = (connection.tls_ca, connection.tls_key, connection.tls_certificate)
    credentials = grpc.ssl_channel_credentials(*(_read_pem(path) if path else None for path in paths))
    return grpc.secure_channel(connection.address, credentials, options=options)


def _api_key(connection: Connection) -> str | None:
    path = connection.api_key_file
    secret = _read(path).decode(errors="replace") if path else os.environ.get(f"{CLIENT_PREFIX}API_KEY", "")
    secret = secret.strip()
    if not secret and not path:
        return None
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ClientError(f"{path or f'{CLIENT_PREFIX}API_KEY'}: expected an API key or a token, which has no spaces")
    return secret


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
