"""Explains a failed call in one line that says what to do."""

import click
import grpc

from sprocket.client import ServiceError
from sprocket_grpc.cli.client.output import printable
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.client.unavailable import explain_unavailable

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


def explain(error: ServiceError, server: Server) -> ClientError:
    """Return the error of a failed call for the user.

    Args:
        error: How the call ended.
        server: The server that was called.
    """
    if error.reason:
        return ClientError(_explain_reason(error, server))
    return ClientError(_explain_grpc(error.code, error.message, server))


def missing_library(name: str) -> ClientError:
    """Return the error for a library that only the extra `chart` installs."""
    return ClientError(f"{name} is not installed; run `pip install 'sprocket-grpc[chart]'`")


def _explain_reason(error: ServiceError, server: Server) -> str:
    if error.reason == "ERROR_REASON_UNAUTHENTICATED":
        return _explain_unauthenticated(server)
    if error.reason in _COMPLETE_TEXTS:
        return error.message
    if error.reason not in _ADVICE:
        return f"{server.address} failed with {error.code.name}: {error.message}"
    context = click.get_current_context(silent=True)
    command = context.command_path if context else "sprocket-grpc"
    advice = _ADVICE[error.reason].format(command=command, server=server.address)
    return f"{_explain_fields(error) or error.message}; {advice}"


def _explain_fields(error: ServiceError) -> str:
    """Return what is wrong with each field. The message names only the first five."""
    if error.code is not grpc.StatusCode.INVALID_ARGUMENT:
        return ""
    return "; ".join(f"{each.field}: {each.description}" for each in error.violations)


def _explain_unauthenticated(server: Server) -> str:
    if server.api_key:
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
