"""Followers of charts receive every new entry once and in order, and heartbeats while no entries are added."""

from collections.abc import AsyncIterator

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import Factory, UpdateFactoryRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres.connection import Connection
from tests.support.books import numbers_of, query
from tests.support.errors import fails
from tests.support.following import ChartFollower, ChartsFollower
from tests.support.production import delete_factory, delete_sprocket, update_factory
from tests.support.resources import create_factory, create_sprocket
from tests.support.service import Service, running_service

pytestmark = pytest.mark.slow

# Replaces a factory in one transaction, so that the id never disappears; the chart of the new factory is longer.
_REPLACE = [
    "CREATE TEMPORARY TABLE former ON COMMIT DROP AS SELECT * FROM factory WHERE id = CAST(:factory_id AS uuid)",
    "DELETE FROM factory WHERE id = CAST(:factory_id AS uuid)",
    """
    INSERT INTO factory (id, display_name, location_id, sprocket_production_goal, sprocket_production_actual,
                         chart_sequence, chart_time_micros)
    SELECT id, display_name, location_id, 0, 9, 3, 3 FROM former
    """,
    "INSERT INTO chart_entry SELECT id, n, n, 0, 6 + n FROM former, generate_series(1, 3) AS n",
]


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A server with a short poll interval and a short heartbeat interval."""
    settings = Settings(follow_tick_seconds=0.02, follow_progress_seconds=1.5)
    async with running_service(database_url, settings) as running:
        yield running


def replace_factory(connection: Connection, factory_id: str) -> None:
    """Delete a factory and create another one with its id, in a transaction."""
    for statement in _REPLACE:
        connection.execute(text(statement), {"factory_id": factory_id})


async def create_sprockets(service: Service, factory_id: str, count: int) -> None:
    """Create sprockets, one after the other."""
    first = await create_sprocket(service, factory_id=factory_id)
    for _ in range(count - 1):
        await create_sprocket(service, factory_id=factory_id, sprocket_type_id=first.sprocket_type_id)


async def test_new_entries_arrive_once_each_after_the_history(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    await create_sprockets(service, factory_id, 2)
    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_entries(3)
        assert [response.end_of_history for response in follower.responses] == [True]
        await create_sprockets(service, factory_id, 3)
        await update_factory(service, factory_id, sprocket_production_goal=11)
        await follower.until_entries(7)
        assert follower.numbers == await numbers_of(service, factory_id)
        assert [response.end_of_history for response in follower.responses].count(True) == 1


async def test_another_stream_can_resume_after_any_response(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_entries(1)
        for _ in range(3):
            await create_sprockets(service, factory_id, 1)
            await follower.until_entries(len(follower.numbers) + 1)
    chart = await numbers_of(service, factory_id)
    seen = 0
    for response in follower.responses:
        seen += len(response.chart.time_micros)
        async with ChartFollower(service.channel, factory_id, resume_token=response.resume_token) as another:
            await another.until(lambda: any(each.end_of_history for each in another.responses))
        assert another.numbers == chart[seen:]


async def test_an_idle_stream_sends_heartbeats(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_responses(4)
        assert [len(response.chart.time_micros) for response in follower.responses] == [1, 0, 0, 0]
        assert all(response.resume_token for response in follower.responses)


async def test_dry_runs_and_refused_updates_send_no_entries(service: Service) -> None:
    made = await create_factory(service)
    async with ChartFollower(service.channel, made.id) as follower:
        await follower.until_responses(1)
        dry_run = UpdateFactoryRequest(factory=Factory(id=made.id, sprocket_production_goal=99), validate_only=True)
        await service.factories.UpdateFactory(dry_run)
        with fails(grpc.StatusCode.INVALID_ARGUMENT):
            await update_factory(service, made.id, sprocket_production_goal=-1)
        await follower.until_responses(3)
        assert follower.numbers == [(10, 0)]


async def test_a_follower_receives_the_entry_of_a_deleted_sprocket(service: Service) -> None:
    sprocket = await create_sprocket(service)
    async with ChartFollower(service.channel, sprocket.factory_id) as follower:
        await follower.until_entries(2)
        await delete_sprocket(service, sprocket.id)
        await follower.until_entries(3)
        assert follower.numbers == [(10, 0), (10, 1), (10, 0)]


async def test_a_follower_receives_entries_of_its_own_chart_only(service: Service) -> None:
    busy, idle = (await create_factory(service)).id, (await create_factory(service)).id
    async with ChartFollower(service.channel, busy) as first, ChartFollower(service.channel, idle) as second:
        await second.until_responses(1)
        await create_sprockets(service, busy, 3)
        await first.until_entries(4)
        assert second.numbers == [(10, 0)]


async def test_many_charts_are_followed_in_one_stream_with_one_token(service: Service) -> None:
    ids = [(await create_factory(service, sprocket_production_goal=n)).id for n in range(3)]
    async with ChartsFollower(service.channel, ids) as follower:
        await follower.until_entries(3)
        for factory_id in (ids[2], ids[0]):
            await create_sprockets(service, factory_id, 2)
        await follower.until_entries(7)
        token = follower.responses[-1].resume_token
    assert follower.charts == {each: await numbers_of(service, each) for each in ids}
    assert [response.end_of_history for response in follower.responses].count(True) == 1
    await create_sprockets(service, ids[1], 1)
    async with ChartsFollower(service.channel, ids, resume_token=token) as another:
        await another.until_entries(1)
        assert another.charts == {ids[1]: [(1, 1)]}


async def test_deleting_a_factory_ends_its_streams_with_not_found(service: Service) -> None:
    gone, left = (await create_factory(service)).id, (await create_factory(service)).id
    async with (
        ChartFollower(service.channel, gone) as first,
        ChartFollower(service.channel, left) as second,
        ChartsFollower(service.channel, [left, gone]) as third,
    ):
        for follower in (first, second, third):
            await follower.until_responses(1)
        await delete_factory(service, gone)
        for follower in (first, third):
            with fails(grpc.StatusCode.NOT_FOUND) as failure:
                await follower.ended()
            assert failure.info.metadata == {"resource_type": "sprocket.v1.Factory", "id": gone}
        await create_sprockets(service, left, 1)
        await second.until_entries(2)
    async with ChartsFollower(service.channel, [left], resume_token=third.responses[-1].resume_token) as fourth:
        await fourth.until_entries(1)
        assert fourth.charts == {left: [(10, 1)]}


async def test_an_error_names_all_factories_that_are_deleted_together(service: Service) -> None:
    ids = [(await create_factory(service)).id for _ in range(3)]
    async with ChartsFollower(service.channel, ids) as follower:
        await follower.until_responses(1)
        await query(service, "DELETE FROM factory")
        with fails(grpc.StatusCode.NOT_FOUND) as failure:
            await follower.ended()
    assert set(failure.info.metadata["id"].split(",")) == set(ids)


async def test_a_stream_does_not_follow_a_new_factory_with_the_same_id(service: Service) -> None:
    made = await create_factory(service)
    async with ChartFollower(service.channel, made.id) as follower:
        await follower.until_entries(1)
        await service.database.run_in_transaction(replace_factory, made.id)
        with fails(grpc.StatusCode.NOT_FOUND):
            await follower.ended()
    async with ChartFollower(service.channel, made.id) as follower:
        await follower.until_entries(3)
        assert follower.numbers == [(0, 7), (0, 8), (0, 9)]
