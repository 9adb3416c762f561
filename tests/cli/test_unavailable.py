"""Every cause of UNAVAILABLE that commands recognise by gRPC's text is provoked here: gRPC may change its texts."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import grpc
import pytest
from cryptography.x509 import DNSName, IPAddress

from sprocket.client import ServiceError
from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.errors import explain
from sprocket_grpc.cli.client.unavailable import CAUSES, Cause, find_cause
from tests.support.callers import Certificate, certificate, server_certificate

ROOT = certificate("root")
LOOPBACK = IPAddress(ip_address("127.0.0.1"))
HANDSHAKE_FAILURE = bytes([21, 3, 3, 0, 2, 2, 40])  # a TLS record with an alert (RFC 8446, 6)

Handler = Callable[[socket.socket], None]
Serve = Callable[[Path], AbstractContextManager[str]]


# Servers that cannot be called.


@contextmanager
def grpc_server(shown: Certificate | None, _: Path) -> Iterator[str]:
    """Run a gRPC server, with TLS if it shows a certificate, and yield its address."""
    server = grpc.server(ThreadPoolExecutor(1))
    if shown:
        credentials = grpc.ssl_server_credentials([(shown.key_pem, shown.pem)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@contextmanager
def socket_server(handle: Handler, _: Path) -> Iterator[str]:
    """Handle every connection with a function, and yield the address."""

    def accept() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    handle(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def https_server(directory: Path) -> AbstractContextManager[str]:
    """Run a server with TLS that does not offer HTTP/2, and yield its address."""
    files = server_certificate(ROOT).write(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["tls_certificate"], files["tls_key"])

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1 << 16)

    return socket_server(handle, directory)


def address(name: str, _: Path) -> AbstractContextManager[str]:
    """Yield an address where no server is."""
    return nullcontext(name)


def send_and_close(answer: bytes, connection: socket.socket) -> None:
    """Answer what the client sends first, and close the connection after all that it sends."""
    connection.recv(1 << 16)
    connection.sendall(answer)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 16):
        pass


def reset(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


closing = partial(socket_server, partial(send_and_close, b""))


def showing(shown: Certificate | None) -> Serve:
    return partial(grpc_server, shown)


def answering(answer: bytes) -> Serve:
    return partial(socket_server, partial(send_and_close, answer))


WITH_TLS: dict[str, Serve] = {
    "certificate has expired": showing(certificate("server", [LOOPBACK], ROOT, -timedelta(hours=1))),
    "CERTIFICATE_VERIFY_FAILED": showing(server_certificate(certificate("another root"))),
    "Hostname Verification Check failed": showing(certificate("server", [DNSName("another.example")], ROOT)),
    "WRONG_VERSION_NUMBER": showing(None),
    "missing selected ALPN": https_server,
    "Tls handshake failed": answering(HANDSHAKE_FAILURE),
    "Handshake read failed": closing,
}
WITHOUT_TLS: dict[str, Serve] = {
    "Socket closed": closing,
    "recvmsg": partial(socket_server, reset),
    "http1.x server": answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "errors resolving": partial(address, "no host name:1"),
    "": partial(address, "127.0.0.1:1"),
}
"""The servers that provoke each cause, by the part of gRPC's text that identifies it."""


class Failed(NamedTuple):
    """How a call ended: gRPC's text, and its explanation."""

    text: str
    explanation: str


def call(target: str, directory: Path, *, uses_tls: bool) -> Failed:
    """Call a server as commands do."""
    ca = directory / "ca.crt"
    ca.write_bytes(ROOT.pem)
    with connected(Connection(target, ca if uses_tls else None, None, None, None)) as server:
        method: Any = server.channel.unary_unary("/sprocket.v1.FactoryService/ListFactories")
        with pytest.raises(grpc.RpcError) as raised:
            method(b"", timeout=10)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        return Failed(raised.value.details() or "", explain(ServiceError.of(raised.value), server).message)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.text or "any other text")
def test_a_cause_is_recognised_by_the_text_that_grpc_gives_it(cause: Cause, tmp_path: Path) -> None:
    serve = (WITH_TLS | WITHOUT_TLS)[cause.text]
    with serve(tmp_path) as target:
        failed = call(target, tmp_path, uses_tls=cause.text in WITH_TLS)
    assert find_cause(failed.text) is cause, failed.text
    assert target in failed.explanation


@pytest.mark.parametrize(
    ("uses_tls", "options"), [(False, "pass --tls-ca"), (True, "pass --tls-certificate and --tls-key")]
)
def test_a_closed_connection_is_explained_by_what_the_client_does_not_send(
    tmp_path: Path, *, uses_tls: bool, options: str
) -> None:
    with closing(tmp_path) as target:
        assert call(target, tmp_path, uses_tls=uses_tls).explanation.endswith(options)
