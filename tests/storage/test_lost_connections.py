"""A database connection that is lost in any state: nothing waits for it for ever, and the next call works."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop
from sqlalchemy import text

from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.conversation import State
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from tests.support.breaker import FATAL, Breaker, breaker_to
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.waiting import until

pytestmark = pytest.mark.slow

LOSS_SECONDS = 5
"""The most that a caller waits for a lost connection."""

ROWS = 1000
MANY = text("SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
"""Its answer, 1 MB, is larger than libpq's buffer and than what a socket holds."""

_PREPARED: Read[int] = Read(Statement(MANY), {}, len)
_READ: Read[int] = Read(MANY, {}, len)

USES: dict[str, Callable[[Database], Awaitable[object]]] = {
    "a prepared read": lambda database: database.read(_PREPARED),
    "a read": lambda database: database.read(_READ),
    "a write": lambda database: database.run_in_transaction(lambda connection: connection.execute(MANY).all()),
    "a dry run": lambda database: database.run_dry(lambda connection: connection.execute(MANY).all()),
}

STATES = {"sent": 0, "a byte received": 1, "half received": 40_000, "almost all received": 1_000_000}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        migrate.upgrade(running.url)
        yield running


def run_on_uvloop(scenario: Coroutine[Any, Any, None]) -> None:
    """Run as `serve` does: uvloop reports the error of a socket once, and asyncio's own loop as long as it lasts."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario)


async def lose(server: PostgresServer, scenario: Callable[[Database, Breaker], Awaitable[None]]) -> None:
    """Run a scenario with a database behind a proxy."""
    async with breaker_to(server.port) as breaker:
        database = Database(f"postgresql+psycopg://postgres@127.0.0.1:{breaker.port}/postgres", pool_size=1)
        try:
            await scenario(database, breaker)
        finally:
            await database.close()


def test_a_kept_connection_that_is_lost_while_idle_is_not_used_again(server: PostgresServer) -> None:
    async def scenario(database: Database, breaker: Breaker) -> None:
        await database.read(_PREPARED)
        [kept] = database.pool._idle
        await breaker.reset(FATAL)
        await until(lambda: kept.state is State.LOST, LOSS_SECONDS)
        assert await database.read(_PREPARED) == ROWS

    run_on_uvloop(lose(server, scenario))


@pytest.mark.parametrize("last_words", [b"", FATAL], ids=["reset", "FATAL with a reset behind it"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("use", USES)
def test_what_loses_its_connection_ends_soon_and_what_follows_works(
    server: PostgresServer, use: str, state: str, last_words: bytes
) -> None:
    async def scenario(database: Database, breaker: Breaker) -> None:
        await USES[use](database)
        breaker.hold_after(STATES[state])
        using = asyncio.ensure_future(USES[use](database))
        await breaker.held.wait()
        await asyncio.sleep(0.05)  # until all that was passed has arrived
        await breaker.reset(last_words)
        async with asyncio.timeout(LOSS_SECONDS):
            await asyncio.wait([using])
        assert isinstance(using.exception(), UnavailableError | None)
        async with asyncio.timeout(LOSS_SECONDS):
            await USES[use](database)

    run_on_uvloop(lose(server, scenario))


@pytest.mark.parametrize("last_words", [b"", FATAL], ids=["reset", "FATAL with a reset behind it"])
@pytest.mark.parametrize("use", USES)
def test_a_connection_that_is_lost_while_idle_is_replaced_soon(
    server: PostgresServer, use: str, last_words: bytes
) -> None:
    async def scenario(database: Database, breaker: Breaker) -> None:
        await USES[use](database)
        await breaker.reset(last_words)
        for _ in range(2):
            async with asyncio.timeout(LOSS_SECONDS):
                try:
                    await USES[use](database)
                    break
                except UnavailableError:
                    pass
        else:
            raise AssertionError("the connection was not replaced")

    run_on_uvloop(lose(server, scenario))
