"""What gRPC's own texts for UNAVAILABLE mean: the code alone does not say why there is no connection."""

from typing import NamedTuple

import grpc

from sprocket.client import ServiceError
from sprocket_grpc.cli.client.server import Server


class Cause(NamedTuple):
    """Why a server is unavailable.

    Attributes:
        text: A part of gRPC's text that identifies the cause.
        explanation: What the user is told; `{server}` stands for the address.
        is_permanent: Whether another attempt fails in the same way.
    """

    text: str
    explanation: str
    is_permanent: bool = False


_CLOSED = "{server} closed the connection; if it requires {requirement}"

CAUSES = (
    Cause("certificate has expired", "the certificate of {server} has expired", is_permanent=True),
    Cause(
        "CERTIFICATE_VERIFY_FAILED",
        "the certificate of {server} is not signed by any certificate in --tls-ca",
        is_permanent=True,
    ),
    Cause(
        "Hostname Verification Check failed",
        "the certificate of {server} is for another host name; `--server` must name a host in the certificate",
        is_permanent=True,
    ),
    Cause("WRONG_VERSION_NUMBER", "{server} does not speak TLS; leave --tls-ca out", is_permanent=True),
    Cause(
        "missing selected ALPN",
        "{server} speaks TLS but not gRPC; `--server` names another address",
        is_permanent=True,
    ),
    Cause("Tls handshake failed", "the TLS handshake with {server} failed", is_permanent=True),
    Cause("Handshake read failed", _CLOSED, is_permanent=True),
    Cause("Socket closed", _CLOSED),
    Cause("recvmsg", _CLOSED),
    Cause("http1.x server", "{server} speaks HTTP/1.1 but not gRPC; `--server` names another address"),
    Cause("errors resolving", "the host name of {server} cannot be resolved; `--server` names another address"),
    Cause("", "{server} does not answer; is it running? `--server` names another address"),
)
"""Every known cause, the most specific first; the last one matches any text."""


def find_cause(text: str) -> Cause:
    """Return the first cause that is part of gRPC's text."""
    return next(cause for cause in CAUSES if cause.text in text)


def is_permanent(error: ServiceError) -> bool:
    """Return whether gRPC's text says that another attempt fails in the same way."""
    is_of_grpc = error.code is grpc.StatusCode.UNAVAILABLE and not error.reason
    return is_of_grpc and find_cause(error.message).is_permanent


def why_to_wait(error: ServiceError, server: Server) -> str:
    """Say why a call is retried."""
    if error.retry_after_seconds is not None and error.code is not grpc.StatusCode.UNAVAILABLE:
        return f"{server.address} asks for a retry: {error.message}"
    return f"{server.address} is unavailable"


def explain_unavailable(text: str, server: Server) -> str:
    """Say why a server is unavailable, as far as gRPC's text tells."""
    requirement = (
        "a client certificate, pass --tls-certificate and --tls-key" if server.uses_tls else "TLS, pass --tls-ca"
    )
    return find_cause(text).explanation.format(server=server.address, requirement=requirement)
