"""A call that is cut off while its connection is made, lent or given back costs the pool nothing."""

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
from sprocket_grpc.storage.postgres.prepared import PreparedStatement, Read

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
    """A pool of one connection, which has been used, in a process that serves."""
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", waiting.MAX_BUSY_TIME)  # which is undone in the end
    disable_psycopg_yields()
    database = Database(database_url, pool_size=1, pool_timeout_seconds=1)
    await database.run_in_transaction(one)
    yield database
    await database.close()


async def cut_off(task: "asyncio.Task[object]", turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0.0003)
    task.cancel()
    await asyncio.wait([task])


async def assert_serves(database: Database) -> None:
    async with asyncio.timeout(10):
        assert await database.run(one) == 1
    assert database.used == 0


async def test_a_call_that_is_cut_off_as_its_connection_goes_back_does_not_cost_the_pool_that_connection(
    database: Database,
) -> None:
    def pause(*_: object) -> None:
        time.sleep(0.006)  # as the garbage collector does, or a quota of CPU
        asyncio.get_running_loop().call_soon(task.cancel)  # as a deadline does that has passed meanwhile

    event.listen(database.engine, "reset", pause)
    task = asyncio.create_task(database.run_in_transaction(one))
    await asyncio.wait([task])
    event.remove(database.engine, "reset", pause)
    await assert_serves(database)


async def test_a_call_that_is_cut_off_as_its_connection_is_made_ready_does_not_cost_it_either(
    database: Database,
) -> None:
    await asyncio.sleep(0.006)
    task = asyncio.create_task(database.run_in_transaction(one))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await assert_serves(database)


async def test_connections_that_are_half_made_when_their_calls_are_cut_off_are_closed_at_once(
    database: Database, database_url: str
) -> None:
    gc.collect()
    gc.disable()
    try:
        for turn in range(36):
            await database.close()  # so that the next call has to connect
            await cut_off(asyncio.create_task(database.run(one)), turn % 12)
        await database.close()
        async with asyncio.timeout(10):
            while connections(database_url):  # noqa: ASYNC110  # there is no event
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_read_that_is_under_way_as_the_pool_is_closed_gives_its_connection_back(
    database: Database, database_url: str
) -> None:
    reading = asyncio.create_task(database.read(SLOW))
    await asyncio.sleep(0.2)
    await database.close()
    await reading
    async with asyncio.timeout(10):
        while connections(database_url):  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)
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
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stdout.split() == [str(waiting.MAX_BUSY_TIME), "inf"]
