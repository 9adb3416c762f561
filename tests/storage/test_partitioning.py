"""The service works unchanged if the large tables are partitioned by factory (docs/scaling.md)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import DeleteFactoryRequest
from sprocket.v1.sprocket_pb2 import (
    BatchCreateSprocketsRequest,
    BatchDeleteSprocketsRequest,
    ListSprocketsRequest,
    Sprocket,
)
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests import ROOT
from tests.support.auditing import entries, summary
from tests.support.books import assert_books_agree, numbers_of, query
from tests.support.production import delete_sprocket, update_sprocket
from tests.support.resources import CASES, create_factory, create_sprocket, create_sprocket_type
from tests.support.service import Service, running_service

pytestmark = pytest.mark.slow

DOCUMENT = ROOT / "docs" / "scaling.md"


@pytest.fixture
def partitioned_database_url(database_url: str) -> str:
    """A database whose large tables are partitioned with the statements in the document."""
    statements = DOCUMENT.read_text().split("```sql\n")[1].split("```")[0]
    with create_plain_engine(database_url).begin() as connection:
        connection.connection.cursor().execute(statements)
        kinds = connection.execute(text("SELECT relname::text FROM pg_class WHERE relkind = 'p' ORDER BY 1"))
        assert kinds.scalars().all() == ["chart_entry", "sprocket"]
    return database_url


@pytest.fixture
async def partitioned(partitioned_database_url: str) -> AsyncIterator[Service]:
    async with running_service(partitioned_database_url) as running:
        yield running


async def test_sprockets_are_counted_correctly_on_partitioned_tables(partitioned: Service) -> None:
    factory_ids = [(await create_factory(partitioned)).id for _ in range(8)]
    type_id = (await create_sprocket_type(partitioned)).id
    made = await asyncio.gather(
        *(
            create_sprocket(partitioned, factory_id=factory_id, sprocket_type_id=type_id)
            for factory_id in factory_ids
            for _ in range(10)
        )
    )
    batch = [Sprocket(factory_id=factory_id, sprocket_type_id=type_id) for factory_id in factory_ids]
    await partitioned.sprockets.BatchCreateSprockets(BatchCreateSprocketsRequest(sprockets=batch))
    for sprocket, target in zip(made, factory_ids[1:], strict=False):
        await update_sprocket(partitioned, sprocket.id, factory_id=target)
    await delete_sprocket(partitioned, made[0].id)
    ids = [each.id for each in made[1:5]]
    await partitioned.sprockets.BatchDeleteSprockets(BatchDeleteSprocketsRequest(ids=ids))
    await assert_books_agree(partitioned)
    await partitioned.factories.DeleteFactory(DeleteFactoryRequest(id=factory_ids[-1], force=True))
    await assert_books_agree(partitioned)
    [(partitions,)] = await query(partitioned, "SELECT count(DISTINCT tableoid) FROM sprocket")
    assert partitions > 1


async def test_a_move_to_another_partition_is_logged_as_one_update(partitioned: Service) -> None:
    sprocket = await create_sprocket(partitioned)
    for target in [(await create_factory(partitioned)).id for _ in range(8)]:  # some of them in other partitions
        await update_sprocket(partitioned, sprocket.id, factory_id=target)
    log = await entries(partitioned, f"resource_id = {sprocket.id}")
    assert [summary(each) for each in log] == [("updated", "Sprocket")] * 8 + [("created", "Sprocket")]
    assert [each.before["factory_id"] for each in log[:8]] == [each.after["factory_id"] for each in log[1:]]


@pytest.mark.parametrize("order", ["", "create_time desc", "factory_id", "display_name desc"])
async def test_lists_and_charts_are_read_from_all_partitions(partitioned: Service, order: str) -> None:
    type_id = (await create_sprocket_type(partitioned)).id
    factory_ids = [(await create_factory(partitioned)).id for _ in range(6)]
    ids = {
        (await create_sprocket(partitioned, factory_id=factory_id, sprocket_type_id=type_id)).id
        for factory_id in factory_ids
        for _ in range(3)
    }
    request = ListSprocketsRequest(page_size=5, order_by=order)
    found: list[str] = []
    while not found or request.page_token:
        response = await partitioned.sprockets.ListSprockets(request)
        found += [each.id for each in response.sprockets]
        request.page_token = response.next_page_token
    assert (len(found), set(found)) == (18, ids)
    assert (await CASES[3].get(partitioned, found[0])).id == found[0]
    for factory_id in factory_ids:
        assert await numbers_of(partitioned, factory_id) == [(10, number) for number in range(4)]
