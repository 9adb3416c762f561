"""The chart entries that each change adds."""

import asyncio
from typing import Any

import grpc
import pytest

from sprocket.v1.factory_pb2 import Factory, UpdateFactoryRequest
from tests.support.books import assert_books_agree, numbers_of, query, read_chart
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.production import delete_factory, delete_sprocket, get_factory, update_factory, update_sprocket
from tests.support.resources import MISSING_ID, create_factory, create_sprocket, create_sprocket_type
from tests.support.service import Service

YEAR_2100_MICROS = 4_102_444_800_000_000
GOAL = "sprocket_production_goal"
REPLACE = ["*"]


async def update(service: Service, made: Factory, paths: list[str], fields: dict[str, Any]) -> None:
    """Update a factory with a mask; with the path `*`, fields that are not given keep their values."""
    message = Factory(id=made.id)
    if paths == REPLACE:
        message.CopyFrom(made)
    message.MergeFrom(Factory(**fields))
    request = UpdateFactoryRequest(factory=message)
    request.update_mask.paths.extend(paths)
    await service.factories.UpdateFactory(request)


async def test_a_chart_begins_with_the_goal_and_an_actual_of_zero(service: Service) -> None:
    made = await create_factory(service, sprocket_production_goal=7, sprocket_production_actual=99)
    assert await numbers_of(service, made.id) == [(7, 0)]


@pytest.mark.parametrize(
    ("paths", "goal"),
    [([], 11), ([GOAL], 11), (REPLACE, 11), ([GOAL], 0), ([GOAL, "display_name"], 2**63 - 1)],
    ids=["without a mask", "named in the mask", "replaced", "cleared", "with another field"],
)
async def test_changing_the_goal_adds_one_entry(service: Service, paths: list[str], goal: int) -> None:
    made = await create_factory(service)
    await update(service, made, paths, {GOAL: goal, "display_name": "Other"})
    assert await numbers_of(service, made.id) == [(10, 0), (goal, 0)]
    assert (await get_factory(service, made.id)).sprocket_production_goal == goal


@pytest.mark.parametrize(
    ("paths", "fields"),
    [
        ([], {GOAL: 10}),
        ([GOAL], {GOAL: 10}),
        (REPLACE, {"display_name": "Other"}),
        (["display_name"], {"display_name": "Other", GOAL: 99}),
        ([], {"display_name": "Other"}),
        (["sprocket_production_actual"], {"sprocket_production_actual": 99}),
    ],
    ids=["same goal", "same goal, named", "replaced", "goal not in the mask", "no goal given", "output only"],
)
async def test_an_update_without_another_goal_adds_no_entry(
    service: Service, paths: list[str], fields: dict[str, Any]
) -> None:
    made = await create_factory(service)
    await update(service, made, paths, fields)
    assert await numbers_of(service, made.id) == [(10, 0)]
    await assert_books_agree(service)


async def test_a_refused_update_adds_no_entry(service: Service) -> None:
    made = await create_factory(service)
    with fails(grpc.StatusCode.FAILED_PRECONDITION):
        await update_factory(service, made.id, sprocket_production_goal=11, location_id=MISSING_ID)
    with fails(grpc.StatusCode.INVALID_ARGUMENT):
        await update_factory(service, made.id, sprocket_production_goal=-1)
    assert await numbers_of(service, made.id) == [(10, 0)]
    assert await get_factory(service, made.id) == made


async def test_concurrent_updates_to_the_same_goal_add_one_entry(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    async with open_transaction(database_url, "SELECT FROM factory FOR UPDATE") as transaction:
        calls = [asyncio.create_task(update_factory(service, made.id, sprocket_production_goal=11)) for _ in range(5)]
        await waiting_for(transaction, 5)
    await asyncio.gather(*calls)
    assert await numbers_of(service, made.id) == [(10, 0), (11, 0)]


async def test_creating_a_sprocket_adds_one_entry(service: Service) -> None:
    first = await create_sprocket(service)
    await create_sprocket(service, factory_id=first.factory_id, sprocket_type_id=first.sprocket_type_id)
    assert await numbers_of(service, first.factory_id) == [(10, 0), (10, 1), (10, 2)]


async def test_moving_a_sprocket_adds_one_entry_to_each_of_both_charts(service: Service) -> None:
    sprocket = await create_sprocket(service)
    after, third = await create_factory(service), await create_factory(service)
    await update_sprocket(service, sprocket.id, factory_id=after.id)
    assert await numbers_of(service, sprocket.factory_id) == [(10, 0), (10, 1), (10, 0)]
    assert await numbers_of(service, after.id) == [(10, 0), (10, 1)]
    assert await numbers_of(service, third.id) == [(10, 0)]


async def test_updating_a_sprocket_within_its_factory_adds_no_entry(service: Service) -> None:
    sprocket = await create_sprocket(service)
    other_type = (await create_sprocket_type(service)).id
    fields = {"display_name": "Other", "sprocket_type_id": other_type, "factory_id": sprocket.factory_id}
    assert (await update_sprocket(service, sprocket.id, **fields)).sprocket_type_id == other_type
    assert await numbers_of(service, sprocket.factory_id) == [(10, 0), (10, 1)]


async def test_deleting_a_sprocket_adds_one_entry(service: Service) -> None:
    sprocket = await create_sprocket(service)
    await delete_sprocket(service, sprocket.id)
    assert await numbers_of(service, sprocket.factory_id) == [(10, 0), (10, 1), (10, 0)]


async def test_deleting_a_factory_deletes_its_chart_and_no_other(service: Service) -> None:
    gone, other = await create_factory(service), await create_factory(service)
    await update_factory(service, gone.id, sprocket_production_goal=11)
    await delete_factory(service, gone.id)
    with fails(grpc.StatusCode.NOT_FOUND):
        await read_chart(service, gone.id)
    assert await query(service, "SELECT factory_id::text FROM chart_entry") == [(other.id,)]


async def test_a_refused_delete_of_a_factory_keeps_its_chart(service: Service) -> None:
    sprocket = await create_sprocket(service)
    with fails(grpc.StatusCode.FAILED_PRECONDITION):
        await delete_factory(service, sprocket.factory_id)
    assert await numbers_of(service, sprocket.factory_id) == [(10, 0), (10, 1)]


async def test_concurrent_writers_create_neither_gaps_nor_out_of_order_times(service: Service) -> None:
    first = await create_sprocket(service)
    keys = {"factory_id": first.factory_id, "sprocket_type_id": first.sprocket_type_id}
    made = (create_sprocket(service, **keys) for _ in range(30))
    goals = (update_factory(service, first.factory_id, sprocket_production_goal=n) for n in range(100, 130))
    await asyncio.gather(*made, *goals)
    chart = await read_chart(service, first.factory_id)
    assert len(chart.numbers) == 62  # 1 for the factory, 1 for the first sprocket, and 60 of these calls
    assert chart.times == sorted(chart.times)
    await assert_books_agree(service)


async def test_times_do_not_decrease_if_the_clock_is_set_back(service: Service) -> None:
    made = await create_factory(service)
    await query(service, "UPDATE chart_entry SET time_micros = :time", time=YEAR_2100_MICROS)
    await query(service, "UPDATE factory SET chart_time_micros = :time", time=YEAR_2100_MICROS)
    sprocket = await create_sprocket(service, factory_id=made.id)
    await update_factory(service, made.id, sprocket_production_goal=11)
    await update_sprocket(service, sprocket.id, factory_id=(await create_factory(service)).id)
    await update_sprocket(service, sprocket.id, factory_id=made.id)
    await delete_sprocket(service, sprocket.id)
    chart = await read_chart(service, made.id)
    assert chart.numbers == [(10, 0), (10, 1), (11, 1), (11, 0), (11, 1), (11, 0)]
    assert chart.times == [YEAR_2100_MICROS] * 6
    await assert_books_agree(service)
