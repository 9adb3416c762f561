"""Several servers and several client processes that write to one factory at the same time."""

import asyncio
import multiprocessing
import signal

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.storage.embedded.servers import open_directory
from tests.support.books import assert_books_agree, query, read_chart
from tests.support.command_line import serving
from tests.support.processes import PATIENCE_SECONDS, connected_to, create_sprockets, server_process
from tests.support.production import get_factory
from tests.support.resources import create_factory, create_sprocket, create_sprocket_type
from tests.support.service import Service

pytestmark = pytest.mark.slow


async def test_servers_that_share_a_database_count_together(service: Service, database_url: str) -> None:
    first = await create_sprocket(service)
    keys = {"factory_id": first.factory_id, "sprocket_type_id": first.sprocket_type_id}
    with server_process(database_url) as one, server_process(database_url) as other:
        async with connected_to(one, service) as client, connected_to(other, service) as other_client:
            calls = [create_sprocket(each, **keys) for _ in range(150) for each in (client, other_client)]
            made = await asyncio.gather(*calls)
    assert len({sprocket.id for sprocket in made}) == 300
    assert (await get_factory(service, first.factory_id)).sprocket_production_actual == 301
    assert (await read_chart(service, first.factory_id)).numbers == [(10, n) for n in range(302)]
    await assert_books_agree(service)


async def test_2000_sprockets_from_8_client_processes_at_once_are_all_counted(
    service: Service, database_url: str
) -> None:
    factory_id, type_id = (await create_factory(service)).id, (await create_sprocket_type(service)).id
    with server_process(database_url) as server:
        await asyncio.to_thread(run_clients, server.address, factory_id, type_id)
    assert (await get_factory(service, factory_id)).sprocket_production_actual == 2000
    sequences = await query(service, "SELECT sequence FROM chart_entry ORDER BY sequence")
    assert [sequence for (sequence,) in sequences] == list(range(1, 2002))
    chart = await read_chart(service, factory_id)
    assert chart.numbers == [(10, n) for n in range(2001)]
    assert chart.times == sorted(chart.times)
    await assert_books_agree(service)


def run_clients(address: str, factory_id: str, type_id: str) -> None:
    """Run 8 client processes that create 250 sprockets each at the same time, and check that all succeed."""
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    arguments = (context.Barrier(8), address, factory_id, type_id, 250)
    clients = [context.Process(target=create_sprockets, args=arguments) for _ in range(8)]
    try:
        for client in clients:
            client.start()
        for client in clients:
            client.join(PATIENCE_SECONDS)
        assert [client.exitcode for client in clients] == [0] * 8
    finally:
        for client in filter(multiprocessing.Process.is_alive, clients):
            client.kill()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_answers_while_the_one_that_started_their_embedded_database_ends(number: signal.Signals) -> None:
    with open_directory() as base, serving(embedded_directory=str(base / "data")) as first:
        with (
            serving("--workers", "2", embedded_directory=str(base / "data")) as second,
            grpc.insecure_channel(second.address) as channel,
        ):
            stub = LocationServiceStub(channel)
            stub.ListLocations(ListLocationsRequest(), timeout=30)
            first.signal(number)
            while first.process.poll() is None:
                stub.ListLocations(ListLocationsRequest(), timeout=30)
            for _ in range(100):
                stub.ListLocations(ListLocationsRequest(), timeout=30)
            second.signal(signal.SIGTERM)
            assert second.end().status == 0
        assert not (base / "data" / "postmaster.pid").exists()  # it was the last
