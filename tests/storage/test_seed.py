"""The sample data: its content, loading it repeatedly, and keeping the changes of users."""

import asyncio
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import DeleteFactoryRequest, Factory
from sprocket.v1.location_pb2 import DeleteLocationRequest, Location
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket.v1.sprocket_type_pb2 import DeleteSprocketTypeRequest, SprocketType
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from sprocket_grpc.testing.postgres import new_database
from tests.support.books import Chart, query, read_chart
from tests.support.production import delete_sprocket, update_factory
from tests.support.resources import FACTORY, LOCATION, SPROCKET, SPROCKET_TYPE, create_location, create_sprocket
from tests.support.service import Service
from tests.support.waiting import wait_until_blocked

# The specification of the sample charts: Unix time of the start, actual values, goal values.
HISTORIES = {
    "F1": (1611194818, "32,29,31,30,32," * 4, "32,30,31,29,32," * 4),
    "F2": (
        1611204818,
        "32,28,31,30,30,32,29,28,30,32,32,29,31,30,31,32,29,29,33,30",
        "31,33,29,29,32,30,30,31,29,31,31,30,28,29,32,29,30,31,28,32",
    ),
    "F3": (
        1611304818,
        "32,29,31,30,30,32,29,29,30,32,32,29,31,30,30,32,29,29,33,31",
        "31,31,29,30,32,30,30,31,29,31,30,30,28,29,32,29,31,31,28,32",
    ),
}
LAST_ACTUAL = [32, 30, 31]
END = datetime(2026, 2, 3, 4, 5, 6, 700_000, tzinfo=UTC)
END_SECONDS = 1_770_091_506

# The chart, the counter and the number of rows of every factory.
BOOKS = """
SELECT factory.sprocket_production_actual,
       (SELECT count(*) FROM sprocket WHERE factory_id = factory.id),
       last.sprocket_production_actual,
       factory.sprocket_production_goal,
       last.sprocket_production_goal,
       chart_sequence,
       (SELECT max(sequence) FROM chart_entry WHERE factory_id = factory.id),
       (SELECT count(*) FROM chart_entry WHERE factory_id = factory.id),
       chart_time_micros,
       (SELECT max(time_micros) FROM chart_entry WHERE factory_id = factory.id)
FROM factory JOIN LATERAL
     (SELECT * FROM chart_entry WHERE factory_id = factory.id ORDER BY sequence DESC LIMIT 1) AS last ON true
"""


@pytest.fixture
async def seeded(service: Service, database_url: str) -> Service:
    """A service whose database has the sample data."""
    load(database_url)
    return service


@pytest.fixture
def seeded_elsewhere(postgres: str, template: str) -> list[str]:
    """The ids of the factories in a database whose sample data has the times of the challenge."""
    with new_database(postgres, template) as url:
        load(url)
        with create_plain_engine(url).connect() as connection:
            return [str(each) for each in connection.scalars(text("SELECT id FROM factory ORDER BY id"))]


def load(url: str, end: datetime | None = None) -> None:
    with create_plain_engine(url).begin() as connection:
        seed(connection, end)


def contents(url: str) -> list[Sequence[Any]]:
    """Return every row of every table."""
    tables = ("location", "sprocket_type", "factory", "sprocket", "chart_entry")
    with create_plain_engine(url).connect() as connection:
        queries = [text(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]  # noqa: S608  # our own names
        return [row for each in queries for row in connection.execute(each)]


def numbers(listed: str) -> list[int]:
    return [int(number) for number in listed.split(",") if number]


def chart_of(name: str) -> Chart:
    """Return the specified chart of a factory."""
    start, actual, goal = HISTORIES[name]
    times = [(start + 60 * minute) * 1_000_000 for minute in range(20)]
    return Chart(times, list(zip(numbers(goal), numbers(actual), strict=True)))


async def locations(service: Service) -> list[Location]:
    return (await LOCATION.page(service))[0]


async def types(service: Service) -> list[SprocketType]:
    return (await SPROCKET_TYPE.page(service))[0]


async def factories(service: Service) -> list[Factory]:
    return (await FACTORY.page(service))[0]


async def sprockets(service: Service) -> list[Sprocket]:
    return (await SPROCKET.page(service, page_size=1000))[0]


async def charts(service: Service) -> list[Chart]:
    """Return all charts, oldest first."""
    ids = [factory.id for factory in await factories(service)]
    return sorted(await asyncio.gather(*(read_chart(service, identifier) for identifier in ids)))


async def delete_sprockets_of(service: Service, factory_id: str) -> None:
    its = [each.id for each in await sprockets(service) if each.factory_id == factory_id]
    await asyncio.gather(*(delete_sprocket(service, identifier) for identifier in its))


async def assert_books_agree(service: Service) -> None:
    books = await query(service, BOOKS)
    assert len(books) == len(await factories(service))
    for actual, rows, last_actual, goal, last_goal, sequence, last, entries, time, last_time in books:
        assert actual == rows == last_actual
        assert goal == last_goal
        assert sequence == last == entries
        assert time == last_time


# Content.


async def test_the_charts_have_the_specified_entries(seeded: Service) -> None:
    assert await charts(seeded) == [chart_of(name) for name in HISTORIES]


async def test_each_factory_has_as_many_sprockets_as_its_last_chart_entry_says(seeded: Service) -> None:
    made = await factories(seeded)
    assert [factory.sprocket_production_actual for factory in made] == LAST_ACTUAL
    assert [factory.sprocket_production_goal for factory in made] == [32, 32, 32]
    owners = [sprocket.factory_id for sprocket in await sprockets(seeded)]
    assert [owners.count(factory.id) for factory in made] == LAST_ACTUAL
    await assert_books_agree(seeded)


async def test_the_locations_are_three_streets_of_springfield(seeded: Service) -> None:
    rows = {(each.address, each.postal_code) for each in await locations(seeded)}
    assert rows == {("123 Main St", "62701"), ("456 Elm St", "62702"), ("789 Oak St", "62703")}
    places = [(each.city, each.administrative_area, each.country_code) for each in await locations(seeded)]
    assert places == [("Springfield", "IL", "US")] * 3


async def test_the_three_types_have_the_same_dimensions(seeded: Service) -> None:
    measures = [(t.teeth, t.pitch_diameter_mm, t.outside_diameter_mm, t.pitch_mm) for t in await types(seeded)]
    assert measures == [(5, 5, 6, 1)] * 3


async def test_samples_are_valid_resources_with_uuids_of_version_7(seeded: Service) -> None:
    for case in (LOCATION, SPROCKET_TYPE, FACTORY, SPROCKET):
        rows = (await case.page(seeded, page_size=1000))[0]
        for each in rows:
            assert uuid.UUID(each.id).version == 7
            assert str(uuid.UUID(each.id)) == each.id
        assert await case.get(seeded, rows[0].id) == rows[0]
        assert (await case.update(seeded, rows[0], ["*"])).etag != rows[0].etag  # an update validates all fields


async def test_later_resources_are_listed_after_the_samples_and_continue_their_charts(seeded: Service) -> None:
    first = (await factories(seeded))[0]
    added = await create_sprocket(seeded, factory_id=first.id)
    assert (await sprockets(seeded))[-1] == added
    chart = await read_chart(seeded, first.id)
    assert chart.numbers == [*chart_of("F1").numbers, (32, 33)]
    assert chart.times == sorted(chart.times)


async def test_the_histories_can_end_at_any_time_and_are_otherwise_the_same(
    service: Service, database_url: str, seeded_elsewhere: list[str]
) -> None:
    load(database_url, END)
    made = await charts(service)
    assert [each.times[-1] for each in made] == [END_SECONDS * 1_000_000] * 3
    assert sorted(each.numbers for each in made) == sorted(chart_of(name).numbers for name in HISTORIES)
    assert {each.times[-1] - each.times[0] for each in made} == {19 * 60 * 1_000_000}
    begin = END_SECONDS - 19 * 60
    assert {each.create_time.seconds for each in await factories(service)} == {begin}
    assert {each.create_time.seconds for each in await locations(service)} == {begin}
    assert [each.id for each in await factories(service)] == seeded_elsewhere
    await assert_books_agree(service)


# Loading again.


def test_seeding_again_later_moves_no_history(database_url: str) -> None:
    load(database_url, END)
    before = contents(database_url)
    load(database_url, END + timedelta(days=1))
    assert contents(database_url) == before


def test_seeding_again_changes_nothing(database_url: str) -> None:
    load(database_url)
    before = contents(database_url)
    load(database_url)
    assert contents(database_url) == before


async def test_seeding_restores_a_deleted_factory_with_its_chart_and_sprockets(
    seeded: Service, database_url: str
) -> None:
    second = (await factories(seeded))[1]
    await delete_sprockets_of(seeded, second.id)
    await seeded.factories.DeleteFactory(DeleteFactoryRequest(id=second.id))
    await seeded.locations.DeleteLocation(DeleteLocationRequest(id=second.location_id))
    load(database_url)
    assert (await factories(seeded))[1] == second
    assert await charts(seeded) == [chart_of(name) for name in HISTORIES]
    await assert_books_agree(seeded)


async def test_seeding_restores_a_deleted_type_but_not_its_sprockets(seeded: Service, database_url: str) -> None:
    first, lost = (await factories(seeded))[0], {each.sprocket_type_id for each in await sprockets(seeded)}
    for factory in await factories(seeded):
        await delete_sprockets_of(seeded, factory.id)
    for type_id in lost:
        await seeded.sprocket_types.DeleteSprocketType(DeleteSprocketTypeRequest(id=type_id))
    load(database_url)
    assert lost <= {each.id for each in await types(seeded)}
    assert await sprockets(seeded) == []
    assert len((await read_chart(seeded, first.id)).numbers) == 20 + 32
    await assert_books_agree(seeded)


async def test_seeding_keeps_the_changes_of_users_and_restores_missing_resources(
    seeded: Service, database_url: str
) -> None:
    first = (await factories(seeded))[0]
    place, kind = (await locations(seeded))[1], (await types(seeded))[1]
    await LOCATION.update(seeded, Location(id=place.id, display_name="Renamed", address="1 Other St"))
    await SPROCKET_TYPE.update(seeded, SprocketType(id=kind.id, teeth=6))
    elsewhere = (await create_location(seeded)).id
    await update_factory(seeded, first.id, sprocket_production_goal=99, location_id=elsewhere)
    await delete_sprocket(seeded, (await sprockets(seeded))[0].id)
    before = contents(database_url)
    await seeded.locations.DeleteLocation(DeleteLocationRequest(id=first.location_id))
    load(database_url)
    assert contents(database_url) == before
    await assert_books_agree(seeded)


async def test_two_concurrent_seeds_load_the_data_once(service: Service, database_url: str) -> None:
    with ThreadPoolExecutor() as pool, create_plain_engine(database_url).begin() as connection:
        seed(connection)
        other = pool.submit(load, database_url)
        wait_until_blocked(database_url, 1)
        connection.commit()
        other.result()
    assert await charts(service) == [chart_of(name) for name in HISTORIES]
    assert len(await sprockets(service)) == sum(LAST_ACTUAL)
    await assert_books_agree(service)


def test_a_seed_that_is_rolled_back_leaves_no_rows(database_url: str) -> None:
    engine = create_plain_engine(database_url)
    with engine.connect() as connection:
        seed(connection)
        connection.rollback()
    assert contents(database_url) == []
