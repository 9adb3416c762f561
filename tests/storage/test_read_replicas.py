"""Reads on standbys: calls without side effects use a standby within the maximum lag, and never fail because of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from pydantic import SecretStr
from sqlalchemy import text

from sprocket.v1.location_pb2 import GetLocationRequest, Location, UpdateLocationRequest
from sprocket_grpc.config.database_url import normalise
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.telemetry.background import Background
from tests.conformance.rpcs import METHODS, call, path, valid_requests
from tests.support.books import numbers_of
from tests.support.cable import cable_to, only_on_linux
from tests.support.following import ChartFollower
from tests.support.postgresql import PostgresServer, new_postgres, new_standby
from tests.support.resources import create_factory, create_location, create_sprocket
from tests.support.service import Service, running_service
from tests.support.statements import statements_of
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.slow

LAG_SECONDS = 1.0
A_LONG_TIME = 3600.0

_HAS_REPLAYED = "SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn"
_WAL_POSITION = "_lsn()"


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        migrate.upgrade(running.url)
        yield running


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    with new_standby(primary) as running:
        yield running


@asynccontextmanager
async def reading_from(
    primary: PostgresServer, *standbys: str, lag_seconds: float = A_LONG_TIME, fresh: int = 1
) -> AsyncIterator[Service]:
    """Run a service that reads from standbys, and yield it once `fresh` of them are within the maximum lag."""
    read_url = SecretStr(normalise(f"postgresql://postgres@{','.join(standbys)}/postgres"))
    settings = Settings(
        database_url=SecretStr(primary.url),
        database_read_url=read_url,
        database_read_maximum_lag_seconds=lag_seconds,
        pool_timeout_seconds=PATIENCE_SECONDS,  # on a busy machine, many reads take long to move to the primary
    )
    async with running_service(primary.url, settings) as service:
        await until_fresh(service, fresh)
        yield service


async def until_fresh(service: Service, count: int) -> None:
    """Wait until `count` standbys are within the maximum lag."""
    await asyncio.to_thread(wait_until, lambda: service.read_router.fresh == count)


def catch_up(primary: PostgresServer, standby: PostgresServer) -> None:
    """Wait until the standby has replayed all changes of the primary."""
    [(written,)] = primary.query("SELECT pg_current_wal_lsn()")
    wait_until(lambda: standby.query(_HAS_REPLAYED.format(written)) == [(True,)])


@contextmanager
def paused_replay(primary: PostgresServer, standby: PostgresServer) -> Iterator[None]:
    """Wait until the standby has caught up, and pause its replay until the block ends."""
    catch_up(primary, standby)
    standby.query("SELECT pg_wal_replay_pause()")
    try:
        wait_until(lambda: standby.query("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
        yield
    finally:
        standby.query("SELECT pg_wal_replay_resume()")


@contextmanager
def statements_on(database: Database) -> Iterator[list[str]]:
    """Collect the statements on a database, except queries of the WAL position; complete after the block."""
    asked: list[str] = []
    with statements_of(database) as sent:
        yield asked
    asked += [each.text for each in sent if _WAL_POSITION not in each.text]


IS_STANDBY: Read[bool] = Read(text("SELECT pg_is_in_recovery()"), {}, lambda rows: bool(rows[0][0]))
"""Whether a standby answers."""


async def get_name(service: Service, identifier: str) -> str:
    return (await service.locations.GetLocation(GetLocationRequest(id=identifier))).location.display_name


async def rename(service: Service, identifier: str, name: str) -> None:
    location = Location(id=identifier, display_name=name)
    await service.locations.UpdateLocation(UpdateLocationRequest(location=location))


# Routing.


def reads(method: MethodDescriptor) -> bool:
    """Whether the contract marks a method as free of side effects."""
    return method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS


def follows(method: MethodDescriptor) -> bool:
    """Whether a method follows charts, which also reads from the primary."""
    return method.name.startswith("Follow")


async def test_methods_without_side_effects_read_from_the_standby_and_no_others_do(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with reading_from(primary, standby.address) as service:
        [replica] = service.read_router._standbys
        requests = await valid_requests(service)
        await numbers_of(service, (await create_factory(service)).id)  # reads the token key from the primary
        catch_up(primary, standby)
        for method in sorted(METHODS, key=lambda method: "Delete" in method.name):
            with statements_on(service.database) as on_primary, statements_on(replica.database) as on_standby:
                await call(service, method, requests[path(method)])
            assert bool(on_standby) == reads(method), path(method)
            assert bool(on_primary) != reads(method) or follows(method), path(method)


async def test_reads_use_standbys_in_turn_and_never_a_host_that_is_not_a_standby(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    hosts = (primary.address, standby.address, f"localhost:{standby.port}")
    async with reading_from(primary, *hosts, fresh=2) as service:
        identifier = (await create_location(service)).id
        catch_up(primary, standby)
        counts = []
        for each in service.read_router._standbys:
            with statements_on(each.database) as statements:
                for _ in range(4):
                    await get_name(service, identifier)
            counts.append(len(statements))
    assert counts == [0, 2, 2]


# Lag.


async def test_a_standby_beyond_the_maximum_lag_is_not_used_until_it_catches_up(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with reading_from(primary, standby.address, lag_seconds=LAG_SECONDS) as service:
        identifier = (await create_location(service, display_name="old")).id
        with paused_replay(primary, standby):
            await rename(service, identifier, "new")
            await asyncio.sleep(LAG_SECONDS)
            assert await get_name(service, identifier) == "new"
            assert service.read_router.fresh == 0
        await until_fresh(service, 1)
        assert await service.read_router.read(IS_STANDBY)
        catch_up(primary, standby)
        assert await get_name(service, identifier) == "new"


async def test_a_read_may_be_stale_within_the_maximum_lag(primary: PostgresServer, standby: PostgresServer) -> None:
    async with reading_from(primary, standby.address) as service:
        identifier = (await create_location(service, display_name="old")).id
        with paused_replay(primary, standby):
            await rename(service, identifier, "new")
            assert await get_name(service, identifier) == "old"  # as documented


async def test_a_resource_that_the_standby_does_not_have_yet_is_read_from_the_primary(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with reading_from(primary, standby.address) as service:
        with paused_replay(primary, standby):
            identifier = (await create_location(service, display_name="new")).id
            assert await service.read_router.read(IS_STANDBY)
            assert await get_name(service, identifier) == "new"
            factory = await create_factory(service)
            assert await numbers_of(service, factory.id) == [(10, 0)]


async def test_a_stream_continues_a_stale_history_from_the_primary_without_a_gap(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with reading_from(primary, standby.address) as service:
        first = await create_sprocket(service)
        keys = {"factory_id": first.factory_id, "sprocket_type_id": first.sprocket_type_id}
        with paused_replay(primary, standby):
            for _ in range(3):
                await create_sprocket(service, **keys)
            assert await numbers_of(service, first.factory_id) == [(10, 0), (10, 1)]
            async with ChartFollower(service.channel, first.factory_id) as stream:
                await stream.until_entries(5)
                await create_sprocket(service, **keys)
                await stream.until_entries(6)
            assert stream.numbers == [(10, n) for n in range(6)]
            token = stream.responses[-1].resume_token
            async with ChartFollower(service.channel, first.factory_id, resume_token=token) as stream:
                await create_sprocket(service, **keys)  # the standby has not reached the position of the token
                await stream.until_entries(1)
            assert stream.numbers == [(10, 6)]


# Failures of a standby.


async def read_until(service: Service, identifier: str, ends: Callable[[], bool]) -> None:
    """Read repeatedly until `ends` returns true, and check that every read succeeds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not ends():
            assert await get_name(service, identifier) == "here"


async def test_a_crash_of_a_standby_fails_no_read_and_it_is_used_again_after_its_restart(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with reading_from(primary, standby.address) as service:
        identifier = (await create_location(service, display_name="here")).id
        catch_up(primary, standby)
        back = asyncio.Event()
        readers = [asyncio.create_task(read_until(service, identifier, back.is_set)) for _ in range(10)]
        begun = service.read_router.begin()
        assert await begun.read(IS_STANDBY)
        await asyncio.to_thread(standby.kill)
        await until_fresh(service, 0)
        assert not await begun.read(IS_STANDBY)
        await asyncio.to_thread(standby.start)
        await until_fresh(service, 1)
        back.set()
        await asyncio.gather(*readers)
        assert await service.read_router.read(IS_STANDBY)
        # A read session that has read from the primary does not go back to older data.
        assert not await begun.read(IS_STANDBY)


@only_on_linux
async def test_a_standby_whose_network_drops_packets_delays_reads_but_fails_none(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with (
        cable_to(standby.port) as cable,
        reading_from(primary, f"127.0.0.1:{cable.port}", lag_seconds=LAG_SECONDS) as service,
    ):
        identifier = (await create_location(service, display_name="here")).id
        catch_up(primary, standby)
        assert await asyncio.gather(*(get_name(service, identifier) for _ in range(30))) == ["here"] * 30
        cable.cut()
        assert await asyncio.gather(*(get_name(service, identifier) for _ in range(30))) == ["here"] * 30
        assert service.read_router.fresh == 0
        cable.mend()
        await until_fresh(service, 1)


async def test_a_standby_that_is_unavailable_from_the_start_fails_no_read(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    async with reading_from(primary, "127.0.0.1:1", standby.address) as service:
        identifier = (await create_location(service, display_name="here")).id
        assert await get_name(service, identifier) == "here"


async def test_an_unexpected_error_of_a_standby_does_not_stop_its_monitoring(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = text("DO $$ BEGIN RAISE EXCEPTION 'unexpected' USING ERRCODE = 'XX000'; END $$")
    monkeypatch.setattr("sprocket_grpc.storage.postgres.read_router.READ_REPLAYED", Read(failing, {}, list))
    monkeypatch.setattr("sprocket_grpc.storage.postgres.read_router._UNAVAILABLE_SECONDS", 0.05)
    primary, standby = Database(database_url, pool_size=1), Database(database_url, pool_size=1)
    _, polling = ReadRouter(primary, [standby], 0.1).tasks(primary)
    watching = asyncio.create_task(Background().keep(polling))
    while caplog.text.count("for its position in the log failed") < 2:  # there is no event
        assert not watching.done()
        await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
    await primary.close()
    await standby.close()
