"""Calls that are cancelled while their connection is opened, checked out or returned leak no connection."""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from psycopg import waiting
from sqlalchemy import Connection, event, text

from sprocket_grpc.storage.postgres.database import Database, disable_psycopg_yields
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.reads import PreparedStatement, Read
from tests.support.waiting import until

OURS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")
SLOW: Read[object] = Read(PreparedStatement(text("SELECT CAST(pg_sleep(0.5) AS text)")), {}, list)


def one(connection: Connection) -> object:
    return connection.scalar(text("SELECT 1"))


def connections(url: str) -> object:
    with create_plain_engine(url).connect() as connection:
        return connection.scalar(OURS)


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A pool of one used connection, in a process configured like a server."""
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", waiting.MAX_BUSY_TIME)  # restores it after the test
    disable_psycopg_yields()
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
    assert database.used == 0


async def test_a_call_cancelled_while_its_connection_is_returned_does_not_leak_the_connection(
    database: Database,
) -> None:
    def pause(*_: object) -> None:
        time.sleep(0.006)  # like the garbage collector or a CPU quota
        asyncio.get_running_loop().call_soon(task.cancel)  # like a deadline that passed during the pause

    event.listen(database.engine, "reset", pause)
    task = asyncio.create_task(database.run_in_transaction(one))
    await asyncio.wait([task])
    event.remove(database.engine, "reset", pause)
    await assert_serves(database)


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
            await database.close()  # so that the next call opens a connection
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
    assert database.used == 0


IMPORTS_ALL_AND_SERVES = """
import asyncio, importlib, os, pkgutil, signal, sys
from psycopg import waiting
import sprocket_grpc
for module in pkgutil.walk_packages(sprocket_grpc.__path__, "sprocket_grpc."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(waiting.MAX_BUSY_TIME)
def stop(_):
    print(waiting.MAX_BUSY_TIME)
    os.kill(os.getpid(), signal.SIGTERM)
from sprocket_grpc.server.run import serve
from sprocket_grpc.config.settings import Settings
asyncio.run(serve(Settings(listen="127.0.0.1:0"), sys.argv[1], stop))
"""


def test_only_a_process_that_serves_changes_how_psycopg_waits(database_url: str) -> None:
    command = [sys.executable, "-c", IMPORTS_ALL_AND_SERVES, database_url]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout.split() == [str(waiting.MAX_BUSY_TIME), "inf"]
