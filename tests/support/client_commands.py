"""What the tests of commands share that are clients: servers to call, and what commands answer."""

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
    """Run a server on a migrated database, with the sample data."""
    with create_plain_engine(url).begin() as connection:
        seed(connection)
    with serving(database_url=url) as served:
        yield served


def call(served: ServeProcess, *arguments: str, **settings: str) -> Finished:
    """Run a command that asks a server."""
    return run(*arguments, client_server=served.address, **settings)


def answer(served: ServeProcess, *arguments: str) -> Any:
    """Run a command that succeeds, and return its JSON."""
    finished = call(served, *arguments, "--output", "json")
    assert (finished.status, finished.errors) == (0, ""), finished
    return json.loads(finished.output)


def rows(text: str) -> list[dict[str, str]]:
    """Read CSV."""
    return list(csv.DictReader(text.splitlines()))


@dataclass
class FailingServer:
    """A server that refuses to create locations as it was told, and then creates them.

    Attributes:
        failures: What is answered first, one after the other.
        requests: What was asked.
        metadata: What was sent with it.
        address: Where it listens.
    """

    failures: list[Status]
    requests: list[CreateLocationRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def create(self, request: CreateLocationRequest, context: grpc.ServicerContext) -> CreateLocationResponse:
        """Answer."""
        self.requests.append(request)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        if self.failures:
            context.abort_with_status(rpc_status.to_status(self.failures.pop(0)))
        return CreateLocationResponse(location=request.location)


@contextmanager
def failing_server(*failures: Status) -> Iterator[FailingServer]:
    """Run one until the block ends."""
    told = FailingServer(list(failures))
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        "CreateLocation": grpc.unary_unary_rpc_method_handler(
            told.create, CreateLocationRequest.FromString, CreateLocationResponse.SerializeToString
        )
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("sprocket.v1.LocationService", handlers),))
    told.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield told
    finally:
        server.stop(None).wait()


def failure(code: grpc.StatusCode, reason: str, retry_seconds: int | None = None) -> Status:
    """Make a status as the service sends them."""
    status = Status(code=code.value[0], message="as it was told")
    status.details.add().Pack(details.ErrorInfo(reason=f"ERROR_REASON_{reason}", domain="sprocket.internal"))
    if retry_seconds is not None:
        status.details.add().Pack(details.RetryInfo(retry_delay=Duration(seconds=retry_seconds)))
    return status
