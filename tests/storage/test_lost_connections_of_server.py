"""A server process whose database connections are lost in any state: calls fail soon, and followers go on."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from sprocket.v1.factory_pb2 import Factory
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.storage import migrate
from tests.support.breaker import FATAL, breaker_to
from tests.support.following import ChartFollower
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.processes import ServerProcess, connected_to, server_process
from tests.support.production import get_factory, update_factory
from tests.support.resources import create_factory
from tests.support.service import Service, running_service
from tests.support.stopping import backends_of, stopped
from tests.support.waiting import until

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 30
LOSS_SECONDS = 5
"""The most that a call waits for a lost connection."""

RECOVERY_SECONDS = 20
"""Followers go on within 2 s of recovery; this machine may be ten times slower."""

Call = Callable[[Service, str], Awaitable[object]]

CALLS: dict[str, Call] = {
    "a point read": get_factory,
    "a filtered list": lambda service, _: service.locations.ListLocations(ListLocationsRequest(filter="city = Berlin")),
    "a write": lambda service, identifier: update_factory(service, identifier, sprocket_production_goal=7),
}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        migrate.upgrade(running.url)
        yield running


@asynccontextmanager
async def served(postgresql: PostgresServer, port: int) -> AsyncIterator[tuple[Service, ServerProcess, Factory]]:
    """Run a server process that reaches its database through a port, and make a factory."""
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    starting = server_process(url, health_interval_seconds="600", follow_tick_seconds="0.05", log_level="ERROR")
    async with running_service(postgresql.url) as direct:
        process = await asyncio.to_thread(starting.__enter__)
        try:
            async with connected_to(process, direct) as service:
                yield service, process, await create_factory(direct)
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


async def code_of(call: Awaitable[object]) -> grpc.StatusCode:
    """Return the status of a call."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def follows_again(follower: ChartFollower, service: Service, identifier: str) -> float:
    """Add an entry until one arrives, and return the seconds that took."""
    began, known = time.monotonic(), len(follower.numbers)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for goal in range(1000, 2000):
            with suppress(grpc.aio.AioRpcError):
                await update_factory(service, identifier, sprocket_production_goal=goal)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await follower.until_entries(known + 1)
                break
    return time.monotonic() - began


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_whose_connection_is_lost_in_any_state_ends_soon_and_the_next_one_works(
    postgresql: PostgresServer, name: str
) -> None:
    call = CALLS[name]
    async with breaker_to(postgresql.port) as breaker, served(postgresql, breaker.port) as (service, process, made):
        for passes in (0, 1, 40):
            for last_words in (b"", FATAL):
                await until_ok(lambda: call(service, made.id))
                breaker.hold_after(passes)
                calling = asyncio.create_task(code_of(call(service, made.id)))
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await breaker.held.wait()
                with stopped(process.process.pid):
                    await breaker.reset(last_words)
                async with asyncio.timeout(LOSS_SECONDS):
                    assert await calling in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
                async with asyncio.timeout(LOSS_SECONDS):
                    assert await code_of(call(service, made.id)) is grpc.StatusCode.OK


async def until_ok(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until it succeeds."""

    async def is_ok() -> bool:
        return await code_of(call()) is grpc.StatusCode.OK

    await until(is_ok)


@pytest.mark.parametrize("passes", [None, 0, 1, 40], ids=["between polls", "sent", "a byte received", "half received"])
@pytest.mark.parametrize("last_words", [b"", FATAL], ids=["reset", "FATAL with a reset behind it"])
async def test_followers_go_on_after_their_poll_has_lost_its_connection(
    postgresql: PostgresServer, passes: int | None, last_words: bytes
) -> None:
    async with (
        breaker_to(postgresql.port) as breaker,
        served(postgresql, breaker.port) as (service, process, made),
        ChartFollower(service.channel, made.id) as follower,
    ):
        await follower.until_responses(1)
        await follows_again(follower, service, made.id)
        if passes is not None:
            breaker.hold_after(passes)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await breaker.held.wait()
        with stopped(process.process.pid):
            await breaker.reset(last_words)
        assert await follows_again(follower, service, made.id) < RECOVERY_SECONDS


async def test_a_fast_restart_of_postgresql_under_a_read_ends_the_read_and_no_stream() -> None:
    with new_postgres() as postgresql:
        migrate.upgrade(postgresql.url)
        async with (
            served(postgresql, postgresql.port) as (service, process, made),
            ChartFollower(service.channel, made.id) as follower,
        ):
            await follower.until_responses(1)
            await follows_again(follower, service, made.id)
            await get_factory(service, made.id)
            await asyncio.to_thread(restart_fast_under, postgresql, process, backends_of(postgresql))
            async with asyncio.timeout(2 * LOSS_SECONDS):
                codes = await asyncio.gather(*(code_of(get_factory(service, made.id)) for _ in range(20)))
            assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            await until_ok(lambda: get_factory(service, made.id))
            assert await follows_again(follower, service, made.id) < RECOVERY_SECONDS


def restart_fast_under(postgresql: PostgresServer, server: ServerProcess, backends: list[int]) -> None:
    """Shut PostgreSQL down while statements are sent to its stopped backends: they end without having read them."""
    assert postgresql.process
    with stopped(*backends):
        time.sleep(1)  # the poll has sent its statement
        os.kill(server.process.pid, signal.SIGSTOP)
        postgresql.process.send_signal(signal.SIGINT)
    postgresql.process.wait(PATIENCE_SECONDS)
    os.kill(server.process.pid, signal.SIGCONT)
    postgresql.start()
