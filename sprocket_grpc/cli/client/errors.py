"""Explains a failed call in one line that says what to do."""

from typing import TypeVar

import click
import google.rpc.error_details_pb2 as details
import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket_grpc.cli.client.output import printable
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.client.unavailable import explain_unavailable

_D = TypeVar("_D", bound=Message)

_COMPLETE_TEXTS = {
    "ERROR_REASON_CHART_EXPIRED",
    "ERROR_REASON_CONFLICTING_CHANGE",
    "ERROR_REASON_ETAG_MISMATCH",
    "ERROR_REASON_INTERNAL",
    "ERROR_REASON_REQUEST_ID_REUSED",
}
"""The reasons whose texts already say what to do."""

_ADVICE = {
    "ERROR_REASON_INVALID_FIELD": "`{command} --help` describes every field",
    "ERROR_REASON_RESOURCE_NOT_FOUND": "`sprocket-grpc list` shows the existing ones",
    "ERROR_REASON_REFERENCE_NOT_FOUND": "create that resource first, or refer to another",
    "ERROR_REASON_RESOURCE_IN_USE": "delete the resources that refer to it first, or pass --force to delete them too",
    "ERROR_REASON_PERMISSION_DENIED": "ask the operator of {server} for it",
    "ERROR_REASON_RATE_LIMITED": "try again later",
}
"""What to do about an error of the server, by its reason."""


class ClientError(click.ClickException):
    """Ends the command with status 1. The text is one line and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def explain(error: grpc.RpcError, server: Server) -> ClientError:
    """Return the error of a failed call for the user.

    Args:
        error: How the call ended.
        server: The server that was called.
    """
    if status := status_of(error):
        return ClientError(_explain_status(error.code(), status, server))
    return ClientError(_explain_grpc(error.code(), error.details() or "", server))


def status_of(error: grpc.RpcError) -> Status | None:
    """Return the google.rpc.Status that a server of ours sends, or None if the error is gRPC's own."""
    try:
        status: Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]  # the error of a call is a call
    except ValueError:  # the code or text of the status is not that of the call
        return None
    return status


def detail(status: Status, kind: type[_D]) -> _D:
    """Return the first detail of a type; an empty message if the status has no such detail."""
    message = kind()
    for each in status.details:
        if each.Unpack(message):
            break
    return message


def violations(status: Status) -> list[tuple[str, str]]:
    """Return the path and the description of every violation."""
    invalid = [(each.field, each.description) for each in detail(status, details.BadRequest).field_violations]
    unmet = detail(status, details.PreconditionFailure).violations
    return invalid or [(each.subject, each.description) for each in unmet]


def missing_library(name: str) -> ClientError:
    """Return the error for a library that only the extra `chart` installs."""
    return ClientError(f"{name} is not installed; run `pip install 'sprocket-grpc[chart]'`")


def _explain_status(code: grpc.StatusCode, status: Status, server: Server) -> str:
    reason = detail(status, details.ErrorInfo).reason
    if reason == "ERROR_REASON_UNAUTHENTICATED":
        return _explain_unauthenticated(server)
    if reason in _COMPLETE_TEXTS:
        return status.message
    if reason not in _ADVICE:
        return f"{server.address} failed with {code.name}: {status.message}"
    context = click.get_current_context(silent=True)
    advice = _ADVICE[reason].format(command=context.command_path if context else "sprocket-grpc", server=server.address)
    invalid = detail(status, details.BadRequest).field_violations  # the text of the status names only the first five
    text = "; ".join(f"{each.field}: {each.description}" for each in invalid) or status.message
    return f"{text}; {advice}"


def _explain_unauthenticated(server: Server) -> str:
    if server.metadata:
        return f"{server.address} does not accept the API key or token: it is unknown, expired or revoked"
    return f"{server.address} requires credentials: pass --api-key-file, or set SPROCKET_CLIENT_API_KEY"


def _explain_grpc(code: grpc.StatusCode, text: str, server: Server) -> str:
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return explain_unavailable(text, server)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{server.address} did not answer in time; try again later"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"{server.address} does not have this method; `--server` names another address"
    return f"{server.address} failed with {code.name}: {text}"
