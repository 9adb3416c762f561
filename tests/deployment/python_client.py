"""Both clients of `sprocket.client` behind one asynchronous interface, and a server that answers as it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket.client import AsyncClient, Client
from sprocket.v1.location_pb2 import CreateLocationRequest, CreateLocationResponse
from sprocket.v1.location_pb2_grpc import LocationServiceServicer, add_LocationServiceServicer_to_server


class AnyClient(Protocol):
    """What tests use of both clients."""

    @property
    def channel(self) -> Any: ...
    async def call(self, method: Any, request: Any) -> Any: ...
    def pages(self, method: Any, request: Any) -> AsyncIterator[Any]: ...
    def follow(self, method: Any, request: Any) -> AsyncIterator[Any]: ...


class InThreads:
    """The client for threads; each of its steps runs in a thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.channel = client.channel

    async def call(self, method: Any, request: Any) -> Any:
        return await asyncio.to_thread(self._client.call, method, request)

    async def pages(self, method: Any, request: Any) -> AsyncIterator[Any]:
        pages = self._client.pages(method, request)
        while page := await asyncio.to_thread(partial(next, pages, None)):
            yield page

    async def follow(self, method: Any, request: Any) -> AsyncIterator[Any]:
        responses = self._client.follow(method, request)
        while response := await asyncio.to_thread(partial(next, responses, None)):
            yield response


@asynccontextmanager
async def connect(kind: str, address: Any, **options: Any) -> AsyncIterator[AnyClient]:
    """Yield a client for `threads` or `asyncio`."""
    if kind == "asyncio":
        async with AsyncClient(address, **options) as client:
            yield client
        return
    with Client(address, **options) as client_for_threads:
        yield InThreads(client_for_threads)


class Script(LocationServiceServicer):
    """A server whose CreateLocation fails in turn with each status of a list, and then succeeds.

    Attributes:
        requests: The requests that arrived.
        metadata: The metadata of the last request.
    """

    def __init__(self, failures: Sequence[Status]) -> None:
        self.requests: list[CreateLocationRequest] = []
        self.metadata: dict[str, str | bytes] = {}
        self._failures = list(failures)

    async def CreateLocation(self, request: CreateLocationRequest, context: Any) -> CreateLocationResponse:  # noqa: N802  # gRPC's
        self.requests.append(request)
        self.metadata = dict(context.invocation_metadata())
        if self._failures:
            status: Any = rpc_status.to_status(self._failures.pop(0))
            await context.abort(status.code, status.details, status.trailing_metadata)
        return CreateLocationResponse(location=request.location)


@asynccontextmanager
async def scripted(
    *failures: Status, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[tuple[str, Script]]:
    """Run a server with a script, and yield its address and the script."""
    server, script = grpc.aio.server(), Script(failures)  # type: ignore[abstract]  # it has one method only
    add_LocationServiceServicer_to_server(script, server)
    free = "127.0.0.1:0"
    port = server.add_secure_port(free, credentials) if credentials else server.add_insecure_port(free)
    await server.start()
    yield f"127.0.0.1:{port}", script
    await server.stop(grace=None)


def status(code: grpc.StatusCode, *details: Message) -> Status:
    """Return the status of a failed call with details."""
    packed = [AnyMessage() for _ in details]
    for each, detail in zip(packed, details, strict=True):
        each.Pack(detail)
    return Status(code=code.value[0], message="no", details=packed)
