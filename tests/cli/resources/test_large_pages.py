"""A page that is too large to receive is read in smaller ones, and nothing is lost or read twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest, ListLocationsResponse, Location
from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.cli.resources.catalogue import catalogue

MEBIBYTE = 1 << 20


@contextmanager
def server_of(sizes: list[int], largest_page: int) -> Iterator[tuple[str, list[int]]]:
    """Serve locations of these sizes in bytes, and yield the address and the page sizes that are asked for."""
    locations = [Location(id=str(n), address="x" * size) for n, size in enumerate(sizes)]
    asked: list[int] = []

    def answer(request: ListLocationsRequest, _: grpc.ServicerContext) -> ListLocationsResponse:
        asked.append(request.page_size)
        start = int(request.page_token or 0)
        end = start + min(request.page_size or largest_page, largest_page)
        token = str(end) if end < len(locations) else ""
        return ListLocationsResponse(locations=locations[start:end], next_page_token=token)

    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        answer, ListLocationsRequest.FromString, ListLocationsResponse.SerializeToString
    )
    handlers = grpc.method_handlers_generic_handler("sprocket.v1.LocationService", {"ListLocations": handler})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", asked
    finally:
        server.stop(None).wait()


def listed(address: str, limit: int | None = None, page_size: int = 0) -> list[str]:
    with connected(Connection(address, None, None, None, None)) as server:
        pages = Caller(server, 60).pages(catalogue()["location"], limit, page_size=page_size)
        return [each.id for page in pages for each in page.locations]


@pytest.mark.parametrize("page_size", [0, 7, 1000])
@pytest.mark.parametrize("limit", [None, 3, 39])
def test_all_resources_are_read_once_and_in_order(limit: int | None, page_size: int) -> None:
    sizes = [3 * MEBIBYTE, *[10] * 17, *[6 * MEBIBYTE] * 5, *[10] * 17]
    with server_of(sizes, largest_page=1000) as (address, _):
        assert listed(address, limit, page_size) == [str(n) for n in range(len(sizes))][:limit]


def test_a_page_of_an_older_server_over_4_mib_is_read_at_once() -> None:
    with server_of([MEBIBYTE] * 12, largest_page=12) as (address, asked):
        assert len(listed(address)) == 12
    assert asked == [0]


def test_a_single_resource_that_is_too_large_is_an_error() -> None:
    with server_of([10, 17 * MEBIBYTE], largest_page=1000) as (address, asked):
        with pytest.raises(ClientError, match=r"failed with RESOURCE_EXHAUSTED: .*message larger than max"):
            listed(address)
        assert asked[-1] == 1
