"""A database that crashes under load and restarts."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest

from tests.support.load import NOT_SERVING, SERVING, assert_nothing_was_lost, load_on, prepare
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.processes import server_process

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        yield running


async def test_a_crash_of_the_database_under_load_loses_no_acknowledged_write(server: PostgresServer) -> None:
    made = await prepare(server.url)
    with server_process(server.url, health_interval_seconds="0.1", log_level="ERROR") as process:
        async with load_on(process.address, *made) as load:
            for _ in range(2):
                await asyncio.to_thread(server.kill)
                # Calls fail one after another, so none hangs.
                await load.until_failures(load.failures.total() + 100)
                await load.until_health(NOT_SERVING)
                await asyncio.to_thread(server.start)
                await load.until_acknowledged(100)
                await load.until_health(SERVING)
        assert set(load.failures) == {grpc.StatusCode.UNAVAILABLE}
        assert load.retried > 0
    await assert_nothing_was_lost(server.url, load)
