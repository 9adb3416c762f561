"""Deadlines reach the database: statements of ended calls are cancelled immediately, and the pool stays complete."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest, Location, UpdateLocationRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.interceptors.lifetime import Lifetime
from tests.conformance.promises import refuses
from tests.support.books import query
from tests.support.locks import open_transaction, waiting_for
from tests.support.log_lines import ACCESS
from tests.support.resources import create_location
from tests.support.service import Service, running_service
from tests.support.waiting import until

_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND wait_event_type = 'Lock'
"""


async def list_locations(service: Service, _: Location, seconds: float | None) -> object:
    return await service.locations.ListLocations(ListLocationsRequest(), timeout=seconds)


async def update_location(service: Service, stored: Location, seconds: float | None) -> object:
    """Update a location, in a transaction of two or more statements."""
    changed = Location(id=stored.id, city="Shelbyville")
    return await service.locations.UpdateLocation(UpdateLocationRequest(location=changed), timeout=seconds)


CALLS = pytest.mark.parametrize("call", [list_locations, update_location])
Call = Callable[[Service, Location, float | None], Awaitable[object]]


async def assert_nothing_runs(service: Service) -> None:
    """Wait until no statement of the service waits for a lock."""

    async def nothing_runs() -> bool:
        return await query(service, _OTHERS) == [(0,)]

    await until(nothing_runs)


@CALLS
async def test_a_statement_is_cancelled_at_the_deadline_and_the_pool_stays_complete(
    database_url: str, call: Call
) -> None:
    async with running_service(database_url, Settings(pool_size=2)) as service:
        stored = await create_location(service)
        async with open_transaction(database_url, "LOCK TABLE location") as holder:
            for _ in range(5):  # more often than the pool has connections
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await call(service, stored, 0.3)
                assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                await assert_nothing_runs(service)
            await holder.rollback()
        assert len(await backends(service)) == 2
        await call(service, stored, None)


async def backends(service: Service) -> set[int]:
    """Return the process ids of all backends of the pool."""
    rows = await asyncio.gather(*(query(service, "SELECT pg_backend_pid(), pg_sleep(0.05)") for _ in range(2)))
    return {row[0] for [row] in rows}


@CALLS
async def test_a_statement_is_cancelled_when_the_client_cancels_the_call(
    service: Service, database_url: str, call: Call
) -> None:
    stored = await create_location(service)
    async with open_transaction(database_url, "LOCK TABLE location") as holder:
        waiting = asyncio.ensure_future(call(service, stored, None))
        await waiting_for(holder)
        waiting.cancel()
        await assert_nothing_runs(service)
        await holder.rollback()
    await call(service, stored, None)


@CALLS
async def test_a_call_without_a_deadline_ends_at_the_call_timeout_of_the_server(database_url: str, call: Call) -> None:
    async with running_service(database_url, Settings(call_timeout_seconds=0.3)) as service:
        stored = await create_location(service)
        async with open_transaction(database_url, "LOCK TABLE location") as holder:
            with refuses(grpc.StatusCode.DEADLINE_EXCEEDED, "ERROR_REASON_CALL_TIMEOUT") as failure:
                await call(service, stored, None)
            assert failure.info.metadata == {"seconds": "0.3"}
            await assert_nothing_runs(service)
            await holder.rollback()
        await call(service, stored, None)


async def test_a_cancelled_change_is_rolled_back(service: Service, database_url: str) -> None:
    stored = await create_location(service)
    async with open_transaction(database_url, "SELECT FROM location FOR UPDATE"):
        with pytest.raises(grpc.aio.AioRpcError):
            await update_location(service, stored, 0.2)
        await assert_nothing_runs(service)  # before the lock is released: a statement with the lock could still succeed
    rows: Any = await query(service, "SELECT city FROM location")
    assert rows == [(stored.city,)]


async def test_the_call_timeout_does_not_cancel_a_task_after_its_call() -> None:
    async def answer(_: Any) -> str:
        return "answer"

    call: Any = SimpleNamespace(is_stream=False)
    assert await Lifetime(0.05).intercept(call, call_next=answer) == "answer"
    await asyncio.sleep(0.2)


async def test_a_call_that_exceeds_its_deadline_is_logged_as_deadline_exceeded(
    service: Service, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stored = await create_location(service)
    async with open_transaction(database_url, "LOCK TABLE location"):
        calls = [list_locations(service, stored, seconds) for seconds in (1.111, 1.234, 1.345, 1.456)]
        await asyncio.gather(*calls, return_exceptions=True)
        await assert_nothing_runs(service)
    lines = [
        each.getMessage() for each in caplog.records if each.name == ACCESS and "ListLocations" in each.getMessage()
    ]
    assert lines == ["/sprocket.v1.LocationService/ListLocations DEADLINE_EXCEEDED"] * 4
