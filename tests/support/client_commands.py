"""Helpers for tests of client commands: servers to call, and the output of commands."""

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import google.rpc.error_details_pb2 as details
import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket.v1.location_pb2 import CreateLocationRequest, CreateLocationResponse
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.command_line import Finished, ServeProcess, run, serving

LOCATION = (
    *("--display-name", "Springfield", "--address", "1 Main St", "--city", "Springfield"),
    *("--postal-code", "62701", "--country-code", "US"),
)
"""The options of a valid location."""


@contextmanager
def seeded_server(url: str) -> Iterator[ServeProcess]:
    """Run a server on a migrated database with the sample data until the block ends."""
    with create_plain_engine(url).begin() as connection:
        seed(connection)
    with serving(database_url=url) as served:
        yield served


def call(served: ServeProcess, *arguments: str, **settings: str) -> Finished:
    """Run a client command against a server."""
    return run(*arguments, client_server=served.address, **settings)


def answer(served: ServeProcess, *arguments: str) -> Any:
    """Run a client command that has to succeed, and return its JSON output."""
    finished = call(served, *arguments, "--output", "json")
    assert (finished.status, finished.errors) == (0, ""), finished
    return json.loads(finished.output)


def rows(text: str) -> list[dict[str, str]]:
    """Parse CSV."""
    return list(csv.DictReader(text.splitlines()))


@dataclass
class FailingServer:
    """A server whose first calls of CreateLocation fail with given statuses.

    Attributes:
        failures: The statuses of the first calls, in order.
        requests: The requests that it received.
        metadata: The metadata of the calls that it received.
        address: The address that it listens on.
    """

    failures: list[Status]
    requests: list[CreateLocationRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def create(self, request: CreateLocationRequest, context: grpc.ServicerContext) -> CreateLocationResponse:
        """Fail with the next status, or return the location of the request."""
        self.requests.append(request)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        if self.failures:
            context.abort_with_status(rpc_status.to_status(self.failures.pop(0)))
        return CreateLocationResponse(location=request.location)


@contextmanager
def failing_server(*failures: Status) -> Iterator[FailingServer]:
    """Run a failing server until the block ends."""
    failing = FailingServer(list(failures))
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        "CreateLocation": grpc.unary_unary_rpc_method_handler(
            failing.create, CreateLocationRequest.FromString, CreateLocationResponse.SerializeToString
        )
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("sprocket.v1.LocationService", handlers),))
    failing.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield failing
    finally:
        server.stop(None).wait()


def failure(code: grpc.StatusCode, reason: str, retry_seconds: int | None = None) -> Status:
    """Make a status in the format of the service."""
    status = Status(code=code.value[0], message="scripted")
    status.details.add().Pack(details.ErrorInfo(reason=f"ERROR_REASON_{reason}", domain="sprocket.internal"))
    if retry_seconds is not None:
        status.details.add().Pack(details.RetryInfo(retry_delay=Duration(seconds=retry_seconds)))
    return status
