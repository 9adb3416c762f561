"""What can be expected to go wrong, in a line that says what to do."""

from typing import TypeVar

import click
import google.rpc.error_details_pb2 as details
import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.client.text import printable

_D = TypeVar("_D", bound=Message)

_SAYS_ENOUGH = {"ERROR_REASON_REQUEST_ID_REUSED", "ERROR_REASON_INTERNAL", "ERROR_REASON_CONFLICTING_CHANGE"}
_ADVICE = {
    "ERROR_REASON_INVALID_FIELD": "`{command} --help` says what each may be",
    "ERROR_REASON_RESOURCE_NOT_FOUND": "`sprocket-grpc list` shows what there is",
    "ERROR_REASON_REFERENCE_NOT_FOUND": "create that first, or refer to another",
    "ERROR_REASON_RESOURCE_IN_USE": "delete that first, or say --force to delete it too",
    "ERROR_REASON_ETAG_MISMATCH": "get it, look at what has changed, and decide again",
    "ERROR_REASON_PERMISSION_DENIED": "ask whoever runs {server} for it",
    "ERROR_REASON_RATE_LIMITED": "try again later",
}
"""What to do about an error of the server, by its reason."""


class ClientError(click.ClickException):
    """Ends the command with status 1. The text is one line and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def explain(error: grpc.RpcError, server: Server) -> ClientError:
    """Say what a failed call means.

    Args:
        error: How the call ended.
        server: Who was called.
    """
    if status := status_of(error):
        return ClientError(_told(error.code(), status, server))
    return ClientError(_not_told(error.code(), error.details() or "", server))


def status_of(error: grpc.RpcError) -> Status | None:
    """Return what a server of ours says; without it, the error is gRPC's own, whose text says nothing to a person."""
    try:
        status: Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]  # the error of a call is one
    except ValueError:  # its code or text is not that of the call
        return None
    return status


def detail(status: Status, kind: type[_D]) -> _D:
    """Return the detail of a kind, which is empty if there is none."""
    message = kind()
    for each in status.details:
        if each.Unpack(message):
            break
    return message


def violations(status: Status) -> list[tuple[str, str]]:
    """Return the fields that are wrong, each with what is wrong with it."""
    wrong = [(each.field, each.description) for each in detail(status, details.BadRequest).field_violations]
    missing = detail(status, details.PreconditionFailure).violations
    return wrong or [(each.subject, each.description) for each in missing]


def missing_library(name: str) -> ClientError:
    """Say how to install what is only there with the extra."""
    return ClientError(f"{name} is not installed; `pip install 'sprocket-grpc[chart]'` brings it")


def _told(code: grpc.StatusCode, status: Status, server: Server) -> str:
    reason = detail(status, details.ErrorInfo).reason
    if reason == "ERROR_REASON_UNAUTHENTICATED":
        return _unauthenticated(server)
    if reason in _SAYS_ENOUGH:
        return status.message
    if reason not in _ADVICE:
        return f"{server.address} says {code.name}: {status.message}"
    context = click.get_current_context(silent=True)
    advice = _ADVICE[reason].format(command=context.command_path if context else "sprocket-grpc", server=server.address)
    wrong = detail(status, details.BadRequest).field_violations  # all of them: the text names only the first few
    text = "; ".join(f"{each.field}: {each.description}" for each in wrong) or status.message
    return f"{text}; {advice}"


def _unauthenticated(server: Server) -> str:
    if server.metadata:
        return f"{server.address} does not accept the key or token shown: it is unknown, expired or revoked"
    return f"{server.address} wants to know who calls: say --api-key-file, or set SPROCKET_CLIENT_API_KEY"


def _not_told(code: grpc.StatusCode, text: str, server: Server) -> str:
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(text, server)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{server.address} did not answer in time; try again later"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"{server.address} does not have this method; `--server` names another address"
    return f"{server.address} failed with {code.name}: {text}"


def _unavailable(text: str, server: Server) -> str:
    """Say why there is no connection, as far as gRPC's text tells."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"the certificate of {server.address} does not come from any in --tls-ca, or is another server's"
    if "WRONG_VERSION_NUMBER" in text:
        return f"{server.address} does not speak TLS; leave --tls-ca out"
    if "Socket closed" in text or "recvmsg" in text:
        what = "want --tls-certificate and --tls-key" if server.uses_tls else "speak TLS, and want --tls-ca"
        return f"{server.address} closed the connection; it may {what}"
    return f"{server.address} does not answer; is it running? `--server` names another address"
