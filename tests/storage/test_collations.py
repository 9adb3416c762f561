"""Filters and orders have the same results on databases of every locale."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import execute
from tests.storage.test_query_sql import STOCKS, comparisons, fill, modelled, pages, selected
from tests.support.resources import create_location
from tests.support.service import Service, running_service

LOCALES = {
    "C": "LOCALE 'C'",
    "C.UTF-8, of PostgreSQL": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    "C.UTF-8, of the C library": "LOCALE 'C.UTF-8'",
    "English, of the C library": "LOCALE 'en_US.UTF-8'",
    "Turkish, of the C library": "LOCALE 'tr_TR.UTF-8'",
    "Turkish, of ICU": "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C'",
    "German, of ICU": "LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C'",
}


@pytest.fixture(scope="module", params=LOCALES)
def localised_url(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database with a locale, if this PostgreSQL and its system have the locale."""
    name = f"test_{uuid.uuid4().hex}"
    try:
        execute(postgres, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {LOCALES[request.param]}")
    except DBAPIError as error:
        pytest.skip(f"this PostgreSQL has no such locale: {error.orig}")
    try:
        url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
        migrate.upgrade(url)
        yield url
    finally:
        execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connection(localised_url: str) -> Iterator[Connection]:
    """A connection to the database, with the rows of the stocks until the test ends."""
    with create_plain_engine(localised_url).connect() as connection:
        fill(connection)
        yield connection


@pytest.fixture
async def localised(localised_url: str) -> AsyncIterator[Service]:
    async with running_service(localised_url) as running:
        yield running
    execute(localised_url, "DELETE FROM location")


def test_every_comparison_of_text_selects_the_same_rows_as_the_model(connection: Connection) -> None:
    stock = STOCKS[0]
    for comparison in comparisons(stock, ["display_name"]):
        assert selected(connection, stock, comparison.written) == modelled(stock, comparison), comparison.written


def test_text_is_in_the_order_of_its_characters(connection: Connection) -> None:
    stock = STOCKS[0]
    for order, reverse in (("display_name", False), ("display_name desc", True)):
        expected = sorted(stock.rows, key=lambda row: (row["display_name"], row["id"]), reverse=reverse)
        assert list(pages(connection, stock, order, 7)) == [row["id"] for row in expected]


async def test_a_search_ignores_case_and_country_codes_are_letters_of_ascii(localised: Service) -> None:
    created = await create_location(localised, display_name="ISTANBUL, KÖLN, ΟΔΟΣ", country_code="II")
    for condition in ("istanbul", "display_name:köln", "display_name:οδοσ", "country_code:ii", "country_code = I*"):
        response = await localised.locations.ListLocations(ListLocationsRequest(filter=condition))
        assert [each.id for each in response.locations] == [created.id], condition
    for condition in ("\u0131stanbul", "\u0130stanbul", "koln"):
        response = await localised.locations.ListLocations(ListLocationsRequest(filter=condition))
        assert list(response.locations) == [], condition
