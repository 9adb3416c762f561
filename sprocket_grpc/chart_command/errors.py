"""What can be expected to go wrong, in a line that says what to do."""

from typing import Any

import click
import grpc

from sprocket_grpc.chart_command.text import printable

# Only a server of ours sends it, so without it the text is gRPC's own and says nothing to a person.
_DETAILS = "grpc-status-details-bin"


class ChartError(click.ClickException):
    """Ends the command with status 1. The text is one line and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def explain(error: grpc.RpcError, server: str) -> ChartError:
    """Say what a failed call means.

    Args:
        error: How the call ended.
        server: The address that was asked.
    """
    code, text = error.code(), error.details()
    metadata: Any = error.trailing_metadata()  # its type is wrong in the stubs
    if any(key == _DETAILS for key, _ in metadata or ()):
        return ChartError(f"{server} says {code.name}: {text}")
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return ChartError(f"{server} does not answer; is it running? `--server` names another address")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return ChartError(f"{server} did not answer in time; try again later")
        case grpc.StatusCode.UNIMPLEMENTED:
            return ChartError(f"{server} has no sprocket.v1.FactoryService; `--server` names another address")
    return ChartError(f"{server} failed with {code.name}: {text}")


def missing_library(name: str) -> ChartError:
    """Say how to install what is only there with the extra."""
    return ChartError(f"{name} is not installed; `pip install 'sprocket-grpc[chart]'` brings it")
