"""Charts are read, packed and deleted in time although PostgreSQL plans for empty tables, as it last counted them."""

import psycopg
import pytest
from sqlalchemy import make_url

from sprocket.v1.factory_pb2 import DeleteFactoryRequest
from sprocket.v1.sprocket_pb2 import BatchCreateSprocketsRequest, BatchDeleteSprocketsRequest, Sprocket
from tests.support.charts import Entry, entries_of, factory_with, pack, read
from tests.support.resources import create_factory, create_sprocket_type
from tests.support.service import Service

_ENTRIES = 10_000
_BATCH = 1_000


@pytest.fixture
async def stale(service: Service, database_url: str) -> Service:
    """The service, whose database has counted the rows of its tables when they had all been deleted."""
    factory_id = await factory_with(service, _chart())
    await service.factories.DeleteFactory(DeleteFactoryRequest(id=factory_id, force=True))
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "VACUUM (ANALYZE, TRUNCATE off)"
        )  # with room for rows, PostgreSQL believes that there are none
    return service


async def test_a_summary_of_rows_is_read(stale: Service) -> None:
    factory_id = await factory_with(stale, _chart())
    assert len(entries_of(await read(stale, factory_id, max_points=100))) <= 100


async def test_a_history_and_a_range_of_it_are_read(stale: Service) -> None:
    factory_id = await factory_with(stale, _chart())
    whole = entries_of(await read(stale, factory_id))
    assert whole == _chart()
    assert len(whole) == _ENTRIES


async def test_rows_become_pages(stale: Service) -> None:
    factory_id = await factory_with(stale, _chart())
    await pack(stale, factory_id, _ENTRIES // 2)
    assert entries_of(await read(stale, factory_id)) == _chart()


async def test_batches_are_created_and_deleted_and_all_that_refers_to_a_factory_with_it(stale: Service) -> None:
    factory, kind = await create_factory(stale), await create_sprocket_type(stale)
    sprocket = Sprocket(factory_id=factory.id, sprocket_type_id=kind.id)
    batch = BatchCreateSprocketsRequest(sprockets=[sprocket] * _BATCH)
    made = [await stale.sprockets.BatchCreateSprockets(batch) for _ in range(5)]
    ids = [each.id for each in made[0].sprockets]
    await stale.sprockets.BatchDeleteSprockets(BatchDeleteSprocketsRequest(ids=ids))
    await stale.factories.DeleteFactory(DeleteFactoryRequest(id=factory.id, force=True))


def _chart() -> list[Entry]:
    return [Entry(1_700_000_000_000_000 + number * 1_000_000, number % 97, number % 89) for number in range(_ENTRIES)]
