"""Regression tests for the eight defects of the REST service that this service replaces, by their numbers."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.embedded import default_directory
from tests import ROOT
from tests.support.books import assert_books_agree, fill_chart, numbers_of, query, read_chart
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.processes import connected_to, server_process
from tests.support.production import delete_sprocket, get_factory, update_sprocket
from tests.support.resources import (
    FACTORY,
    LOCATION,
    MISSING_ID,
    SPROCKET,
    SPROCKET_TYPE,
    Case,
    create_factory,
    create_location,
    create_sprocket,
)
from tests.support.service import Service, running_service

pytestmark = pytest.mark.slow

# Blocks updates of the counter, but not rows that only refer to the factory.
LOCK_FACTORY = "SELECT FROM factory WHERE id = :id FOR NO KEY UPDATE"
NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
ROWS_READ = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = :table"
THOUSANDS_OF_ROWS = [
    """
    INSERT INTO location (id, display_name, address, address_2, city, administrative_area, postal_code, country_code)
    SELECT gen_random_uuid(), 'Springfield', '123 Main St', '', 'Springfield', '', '62701', 'US'
    FROM generate_series(1, 5000)
    """,
    """
    INSERT INTO sprocket_type (id, display_name, teeth, pitch_mm, pitch_diameter_mm, outside_diameter_mm)
    SELECT gen_random_uuid(), 'Five', 5, 1, 5, 6 FROM generate_series(1, 5000)
    """,
    """
    INSERT INTO factory (id, display_name, location_id, sprocket_production_goal, sprocket_production_actual,
                         chart_sequence, chart_time_micros)
    SELECT gen_random_uuid(), 'Works', id, 10, 1, 1, 1 FROM location
    """,
    """
    INSERT INTO sprocket (id, display_name, sprocket_type_id, factory_id)
    SELECT gen_random_uuid(), 'Cog', (SELECT id FROM sprocket_type LIMIT 1), id FROM factory
    """,
    "ANALYZE",
]


async def now_micros(service: Service) -> int:
    """Return the time of the database server."""
    [(now,)] = await query(service, NOW)
    return int(now)


async def test_1_times_are_the_times_of_the_events_not_of_the_process_start(service: Service) -> None:
    began = await now_micros(service)
    made = await create_factory(service)
    between = await now_micros(service)
    sprocket = await create_sprocket(service, factory_id=made.id)
    later = await now_micros(service)
    renamed = await update_sprocket(service, sprocket.id, display_name="Other")
    ended = await now_micros(service)
    first, second = (await read_chart(service, made.id)).times
    assert began < first < between < second < later
    assert began < made.create_time.ToMicroseconds() < between
    assert between < sprocket.create_time.ToMicroseconds() < later < renamed.update_time.ToMicroseconds() < ended


async def test_2_a_create_whose_backend_dies_has_no_effect(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    async with open_transaction(database_url, LOCK_FACTORY, id=made.id) as transaction:
        creating = asyncio.create_task(create_sprocket(service, factory_id=made.id))
        [backend] = await waiting_for(transaction)
        await query(service, "SELECT pg_terminate_backend(:pid)", pid=backend)
        with fails(grpc.StatusCode.UNAVAILABLE):
            await creating
    assert await get_factory(service, made.id) == made
    assert await numbers_of(service, made.id) == [(10, 0)]
    assert await query(service, "SELECT id FROM sprocket") == []


async def test_2_a_killed_server_leaves_no_partial_creates(service: Service, database_url: str) -> None:
    existing = await create_sprocket(service)
    keys = {"factory_id": existing.factory_id, "sprocket_type_id": existing.sprocket_type_id}
    with server_process(database_url) as server:
        async with (
            connected_to(server, service) as client,
            open_transaction(database_url, LOCK_FACTORY, id=existing.factory_id) as transaction,
        ):
            calls = [asyncio.create_task(create_sprocket(client, **keys)) for _ in range(20)]
            await waiting_for(transaction)  # the others wait for the first
            server.kill()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            await transaction.commit()
    assert all(isinstance(each, grpc.aio.AioRpcError) for each in ended)
    await create_sprocket(service, **keys)  # no lock is left behind
    await assert_books_agree(service)


async def test_2_concurrent_creates_never_record_the_same_actual(service: Service) -> None:
    existing = await create_sprocket(service)
    keys = {"factory_id": existing.factory_id, "sprocket_type_id": existing.sprocket_type_id}
    await asyncio.gather(*(create_sprocket(service, **keys) for _ in range(100)))
    assert await numbers_of(service, existing.factory_id) == [(10, actual) for actual in range(102)]


async def refer_to_a_missing_location(service: Service) -> None:
    await create_factory(service, location_id=MISSING_ID)


async def refer_to_a_missing_type(service: Service) -> None:
    await create_sprocket(service, sprocket_type_id=MISSING_ID)


async def refer_to_a_missing_factory(service: Service) -> None:
    await create_sprocket(service, factory_id=MISSING_ID)


async def move_to_a_missing_factory(service: Service) -> None:
    await update_sprocket(service, (await create_sprocket(service)).id, factory_id=MISSING_ID)


@pytest.mark.parametrize(
    "call",
    [refer_to_a_missing_location, refer_to_a_missing_type, refer_to_a_missing_factory, move_to_a_missing_factory],
    ids=lambda call: call.__name__,
)
async def test_3_an_unknown_reference_is_a_failed_precondition(
    service: Service, call: Callable[[Service], Awaitable[None]]
) -> None:
    with fails(grpc.StatusCode.FAILED_PRECONDITION):
        await call(service)


async def test_3_a_missing_sprocket_is_not_found(service: Service) -> None:
    for call in (SPROCKET.get(service, MISSING_ID), delete_sprocket(service, MISSING_ID)):
        with fails(grpc.StatusCode.NOT_FOUND):
            await call
    with fails(grpc.StatusCode.NOT_FOUND):
        await update_sprocket(service, MISSING_ID, display_name="Other")


async def rows_read(service: Service, table: str) -> int:
    """Return the number of rows of a table that the only connection of a service has read."""
    await query(service, "SELECT pg_stat_force_next_flush()")
    [(rows,)] = await query(service, ROWS_READ, table=table)
    return int(rows)


@pytest.mark.parametrize("case", [LOCATION, SPROCKET_TYPE, FACTORY, SPROCKET], ids=lambda case: case.name)
async def test_4_a_page_at_any_depth_reads_only_its_own_rows(database_url: str, case: Case) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service:
        for statement in THOUSANDS_OF_ROWS:
            await query(service, statement)
        token = ""
        for _ in range(3):
            before = await rows_read(service, case.name)
            page, token = await case.page(service, page_size=10, page_token=token)
            assert len(page) == 10
            assert await rows_read(service, case.name) - before < 30
            _, token = await case.page(service, page_size=900, page_token=token)


async def test_5_two_locations_can_have_the_same_postal_code(service: Service) -> None:
    made = [await create_location(service, postal_code="62701") for _ in range(2)]
    locations, _ = await LOCATION.page(service)
    assert locations == made


async def test_6_moving_and_deleting_a_sprocket_adds_chart_entries(service: Service) -> None:
    sprocket, target = await create_sprocket(service), await create_factory(service)
    await update_sprocket(service, sprocket.id, factory_id=target.id)
    await delete_sprocket(service, sprocket.id)
    assert await numbers_of(service, sprocket.factory_id) == [(10, 0), (10, 1), (10, 0)]
    assert await numbers_of(service, target.id) == [(10, 0), (10, 1), (10, 0)]
    await assert_books_agree(service)


async def test_7_the_responses_of_a_long_chart_have_a_limited_size(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    await fill_chart(service, factory_id, 100_000)
    stream = service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id))
    sizes = [(len(response.chart.time_micros), response.ByteSize()) async for response in stream]
    assert sum(entries for entries, _ in sizes) == 100_000
    assert max(entries for entries, _ in sizes) <= 20_000
    assert max(size for _, size in sizes) < 1_000_000


async def test_8_tests_do_not_touch_the_database_in_the_environment(
    service: Service, database_url: str, tmp_path: Path
) -> None:
    existing = await create_location(service)
    writes = f"{__file__}::{test_5_two_locations_can_have_the_same_postal_code.__name__}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    tests = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-o", f"cache_dir={tmp_path}", writes),
        cwd=ROOT,
        env=environment | {"SPROCKET_DATABASE_URL": database_url},
    )
    assert await tests.wait() == 0
    assert await LOCATION.page(service) == ([existing], "")


async def test_8_tests_do_not_use_the_data_directory_of_the_service(service: Service) -> None:
    [(directory, name)] = await query(service, "SELECT current_setting('data_directory'), current_database()")
    assert Path(directory) != default_directory()
    assert name.startswith("test_")
