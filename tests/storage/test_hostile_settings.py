"""Connections behave the same for all settings of the role, the database, the URL and the environment."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy
from sqlalchemy import NullPool, create_engine, make_url, text

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from sprocket_grpc.testing.postgres import execute, new_database
from tests.support.books import query
from tests.support.command_line import run
from tests.support.resources import create_factory, create_location, create_sprocket
from tests.support.service import running_service

pytestmark = pytest.mark.slow

TOKYO = "東京 Straße №7 𝄞"

HOSTILE = {
    "array_nulls": "off",
    "bytea_output": "escape",
    "client_encoding": "latin1",
    "DateStyle": "SQL, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "-15",
    "idle_session_timeout": "1min",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "TimeZone": "Asia/Kathmandu",
    "transform_null_equals": "on",
}

LIMITS = {"idle_in_transaction_session_timeout": "100ms", "statement_timeout": "100ms"}

SHOWN = [name for name in HOSTILE if name != "default_transaction_deferrable"]  # matters to read-only transactions only


@pytest.fixture(params=["database", "role", "environment", "url"])
def hostile_url(
    request: pytest.FixtureRequest, postgres: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of a database, with hostile settings of the database, the role, the environment, or the URL itself."""
    with new_database(postgres, template) as url:
        role = f"hostile_{uuid.uuid4().hex}"
        try:
            yield _with_hostile_settings(request.param, url, role, monkeypatch)
        finally:
            monkeypatch.undo()
            execute(postgres, f"DROP ROLE IF EXISTS {role}")


def _with_hostile_settings(where: str, url: str, role: str, monkeypatch: pytest.MonkeyPatch) -> str:
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in HOSTILE.items())
    if where == "environment":
        monkeypatch.setenv("PGOPTIONS", options)
        monkeypatch.setenv("PGCLIENTENCODING", "latin1")
        monkeypatch.setenv("PGTZ", "Asia/Kathmandu")
        monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    elif where == "url":
        query_of_url = {"options": options, "client_encoding": "latin1"}
        return make_url(url).update_query_dict(query_of_url).render_as_string(hide_password=False)
    elif where == "role":
        execute(url, f"CREATE ROLE {role} SUPERUSER LOGIN")
        for name, value in HOSTILE.items():
            execute(url, f"ALTER ROLE {role} SET {name} = '{value}'")
        return make_url(url).set(username=role).render_as_string(hide_password=False)
    else:
        for name, value in HOSTILE.items():
            execute(url, f"ALTER DATABASE {make_url(url).database} SET {name} = '{value}'")
    return url


def settings_of(connection: Connection | sqlalchemy.Connection) -> dict[str, str]:
    """Return the settings of a connection."""
    rows = connection.execute(text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)"), {"names": SHOWN})
    return {name: value for name, value in rows}  # noqa: C416  # mypy takes a row for no tuple


def untouched_settings(url: str) -> dict[str, str]:
    """Return the settings of a connection that sets none."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return settings_of(connection)


async def settings_of_server(url: str) -> list[dict[str, str]]:
    """Return the settings of each kind of connection: of a server, in a transaction and out of it, and of commands."""
    database = Database(url, pool_size=1)
    try:
        found = [await database.run(settings_of), await database.run_in_transaction(settings_of)]
    finally:
        await database.close()
    with create_plain_engine(url).connect() as connection:
        return [*found, settings_of(connection)]


async def test_all_connections_have_the_same_settings(database_url: str, hostile_url: str) -> None:
    expected, _, _ = await settings_of_server(database_url)
    untouched = untouched_settings(hostile_url)
    assert {name for name in SHOWN if untouched[name] == expected[name]} == set()
    assert await settings_of_server(hostile_url) == [expected] * 3


async def test_calls_and_commands_work_with_hostile_settings(hostile_url: str) -> None:
    async def command(*words: str) -> str:
        done = await asyncio.to_thread(run, *words, database_url=hostile_url)
        assert done.status == 0, done
        return done.output

    await command("api-key", "create", "dashboards", "--permission", "read")
    assert "dashboards" in await command("api-key", "list")
    async with running_service(hostile_url) as service:
        made = await create_location(service, display_name=TOKYO)
        page = await service.locations.ListLocations(ListLocationsRequest(filter=f'display_name = "{TOKYO}"'))
        assert list(page.locations) == [made]
        assert await query(service, "SELECT convert_to(display_name, 'UTF8') FROM location") == [(TOKYO.encode(),)]
        factory = await create_factory(service)
        await asyncio.gather(*(create_sprocket(service, factory_id=factory.id) for _ in range(10)))
        await service.monitor.check()
        assert service.monitor.problem is None
    assert TOKYO in await command("audit")


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_migrations_and_sample_data_work_with_any_default_isolation_and_limits(
    empty_database_url: str, isolation: str
) -> None:
    for name, value in {**LIMITS, "default_transaction_isolation": isolation}.items():
        execute(empty_database_url, f"ALTER DATABASE {make_url(empty_database_url).database} SET {name} = '{value}'")
    migrate.upgrade(empty_database_url)
    migrate.check(empty_database_url)
    execute(empty_database_url, f"ALTER DATABASE {make_url(empty_database_url).database} RESET ALL")
    with create_plain_engine(empty_database_url).begin() as connection:
        seed(connection)
    migrate.downgrade(empty_database_url, "base")


@pytest.mark.parametrize("words", [["migrate"], ["seed"], ["serve"], ["api-key", "list"], ["audit"]], ids=" ".join)
def test_a_database_that_is_not_utf8_is_refused_in_a_line(latin_url: str, words: list[str]) -> None:
    done = run(*words, database_url=latin_url)
    done.assert_refused()
    assert done.errors.splitlines()[-1] == (
        "Error: the database has the encoding LATIN1: create it with ENCODING 'UTF8'"
    )


@pytest.fixture(scope="module")
def latin_url(postgres: str) -> Iterator[str]:
    """The URL of a database whose encoding is LATIN1."""
    name = f"latin_{uuid.uuid4().hex}"
    execute(postgres, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    finally:
        execute(postgres, f"DROP DATABASE {name}")
