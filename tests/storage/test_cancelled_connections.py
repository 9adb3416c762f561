"""Calls that are cancelled while their connection is opened or used leak no connection."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from tests.support.waiting import until

OURS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")
SLOW: Read[object] = Read(Statement(text("SELECT CAST(pg_sleep(0.5) AS text)")), {}, list)


def one(connection: Connection) -> object:
    return connection.scalar(text("SELECT 1"))


def connections(url: str) -> object:
    with create_plain_engine(url).connect() as connection:
        return connection.scalar(OURS)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of one used connection."""
    database = Database(database_url, pool_size=1, pool_timeout_seconds=1)
    await database.run_in_transaction(one)
    yield database
    await database.close()


async def cancel_after(task: "asyncio.Task[object]", turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0.0003)
    task.cancel()
    await asyncio.wait([task])


async def assert_serves(database: Database) -> None:
    async with asyncio.timeout(10):
        assert await database.run(one) == 1
    assert database.pool.used == 0


async def test_a_call_cancelled_while_its_connection_is_checked_out_does_not_leak_the_connection(
    database: Database,
) -> None:
    await asyncio.sleep(0.006)
    task = asyncio.create_task(database.run_in_transaction(one))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await assert_serves(database)


async def test_connections_opened_for_cancelled_calls_are_closed_immediately(
    database: Database, database_url: str
) -> None:
    gc.collect()
    gc.disable()
    try:
        for turn in range(36):
            database.pool.renew()  # so that the next call opens a connection
            await cancel_after(asyncio.create_task(database.run(one)), turn % 12)
        await database.close()
        await until(lambda: not connections(database_url))
    finally:
        gc.enable()


async def test_a_read_that_is_running_when_the_pool_closes_returns_its_connection(
    database: Database, database_url: str
) -> None:
    reading = asyncio.create_task(database.read(SLOW))
    await asyncio.sleep(0.2)
    await database.close()
    await reading
    await until(lambda: not connections(database_url))
    assert database.pool.used == 0
