"""The rate limit in a real Redis: replicas share the counters, and a restart of Redis restores the limit."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from tests.conformance.promises import refuses
from tests.support.ports import free_port
from tests.support.processes import connected_to, server_process
from tests.support.service import Service
from tests.support.waiting import wait_until

REDIS = shutil.which("redis-server")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REDIS is None, reason="redis-server is not installed (Debian: redis-server)"),
]


@contextmanager
def redis(port: int) -> Iterator[None]:
    """Run a Redis without persistence until the block ends."""
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no")
    with subprocess.Popen([str(REDIS), *options], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port))
            yield
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture
def port() -> int:
    return free_port()


def limited(port: int) -> dict[str, str]:
    return {"rate_limit": "2/year", "rate_limit_storage": f"redis://127.0.0.1:{port}/0"}


async def call(service: Service) -> None:
    await service.locations.ListLocations(ListLocationsRequest())


async def refused_call(service: Service) -> None:
    with refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_RATE_LIMITED"):
        await call(service)


async def test_replicas_count_the_calls_of_a_caller_together(service: Service, database_url: str, port: int) -> None:
    with (
        redis(port),
        server_process(database_url, **limited(port)) as one,
        server_process(database_url, **limited(port)) as other,
    ):
        async with connected_to(one, service) as client, connected_to(other, service) as other_client:
            await call(client)
            await call(other_client)
            await refused_call(client)
            await refused_call(other_client)


async def test_without_redis_each_replica_has_the_limit_for_itself(service: Service, database_url: str) -> None:
    with (
        server_process(database_url, rate_limit="2/year") as one,
        server_process(database_url, rate_limit="2/year") as other,
    ):
        async with connected_to(one, service) as client, connected_to(other, service) as other_client:
            for each in (client, other_client):
                await call(each)
                await call(each)
            await refused_call(client)
            await refused_call(other_client)


async def test_calls_are_not_limited_while_redis_is_down_and_limited_once_it_is_back(
    service: Service, database_url: str, port: int
) -> None:
    with server_process(database_url, **limited(port)) as server:
        async with connected_to(server, service) as client, asyncio.timeout(60):
            with redis(port):
                await call(client)
                await call(client)
                await refused_call(client)
            for _ in range(5):
                await call(client)
            with redis(port):
                await until_refused(client)


async def until_refused(client: Service) -> None:
    while True:
        try:
            await call(client)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017  # it ends the loop
            return
        await asyncio.sleep(0.05)
