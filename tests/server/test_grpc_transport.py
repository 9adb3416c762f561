"""The adapter of gRPC's calls, with a context whose client is gone: gRPC says so by an error of its own."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from sprocket.v1.location_pb2 import ListLocationsRequest, Location
from sprocket_grpc.interceptors.chain import Rpc
from sprocket_grpc.server.grpc_transport import GrpcTransport


class GoneContext:
    """The context of a call whose client has disconnected."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def write(self, _: object) -> None:
        raise grpc.aio.InternalError("the RPC is finished")

    async def abort(self, *_: object) -> None:
        raise grpc.aio.InternalError("the RPC is finished")


@pytest.fixture
def transport() -> GrpcTransport:
    context: Any = GoneContext()
    handler: Any = None
    return GrpcTransport(
        Rpc("/a/b", ListLocationsRequest, handler, is_stream=True, takes_stream=False, request_bytes_maximum=1), context
    )


async def test_a_response_to_a_client_that_is_gone_cancels_the_call_and_is_no_error_of_the_server(
    transport: GrpcTransport,
) -> None:
    with pytest.raises(asyncio.CancelledError):
        await transport.send(Location())


async def test_an_error_for_a_client_that_is_gone_cancels_the_call_and_is_no_error_of_the_server(
    transport: GrpcTransport,
) -> None:
    with pytest.raises(asyncio.CancelledError):
        await transport.abort(Status(code=5))
