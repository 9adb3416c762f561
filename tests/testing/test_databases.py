"""A database for tests is used again only if a test has changed nothing but rows."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support import databases
from tests.support.databases import Databases

_LOCATIONS = (
    "INSERT INTO location SELECT gen_random_uuid(), now(), now(), 'x', repeat('x', 200), '', 'x', '', 'x', 'US' FROM"
)

_FEW_ROWS = (  # too few for autovacuum, which would change the statistics
    f"{_LOCATIONS} generate_series(1, 1)",
    """INSERT INTO factory (id, display_name, location_id, sprocket_production_goal, sprocket_production_actual,
                            chart_sequence, chart_time_micros)
       SELECT gen_random_uuid(), 'x', id, 0, 0, 1, 0 FROM location""",
    """INSERT INTO chart_entry
           (factory_id, sequence, time_micros, sprocket_production_goal, sprocket_production_actual)
       SELECT id, 1, 0, 0, 0 FROM factory""",
)


@pytest.fixture
def own_databases(postgres: str, template: str) -> Iterator[Databases]:
    """The databases of this test alone."""
    with closing(Databases(postgres, template)) as databases:
        yield databases


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements one after the other, and return the rows of the last one."""
    libpq = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement.encode())
        return connection.execute(statements[-1].encode()).fetchall()


def test_a_database_with_rows_is_emptied_and_used_again(
    own_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps what a migrated database has from the beginning, and the audit log is emptied too."""
    monkeypatch.setattr(databases, "_SECONDS", 60)  # in which connections of this test end, on a busy machine
    counts = " UNION ALL ".join(
        f"SELECT count(*) FROM {table}"  # noqa: S608  # our tables
        for table in ("factory", "chart_entry", "audit_entry", "page_token_key")
    )
    with own_databases.take() as first:
        as_migrated = run(first, counts)
        assert run(first, *_FEW_ROWS, counts) != as_migrated
    with own_databases.take() as second:
        assert second == first
        assert run(second, counts) == as_migrated


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE added (id int)",
        "ALTER TABLE factory ADD added int",
        "ALTER TABLE sprocket DISABLE TRIGGER ALL",
        "ALTER TABLE factory DROP CONSTRAINT ck_factory_sprocket_production_goal",
        "DROP INDEX ix_sprocket_create_time_id",
        "CREATE FUNCTION added() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT SELECT ON factory TO PUBLIC",
        "ANALYZE location",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''1MB''', current_database()); END $$",
        "INSERT INTO page_token_key (key) VALUES (decode(repeat('00', 32), 'hex'))",
        "DROP TABLE alembic_version",
        "UPDATE alembic_version SET version_num = 'other'",
        f"{_LOCATIONS} generate_series(1, 2000)",
    ],
)
def test_a_database_is_not_used_again_after(own_databases: Databases, change: str) -> None:
    """The next test gets a new one."""
    with own_databases.take() as changed:
        run(changed, f"{_LOCATIONS} generate_series(1, 1)", "SELECT 1")
        run(changed, change, "SELECT 1")
    with own_databases.take() as other:
        assert other != changed


def test_a_database_with_a_connection_left_is_not_used_again(own_databases: Databases) -> None:
    """What a connection still does would reach the next test."""
    with own_databases.take() as changed:
        libpq = make_url(changed).set(drivername="postgresql").render_as_string(hide_password=False)
        left = psycopg.connect(libpq)
    with own_databases.take() as other:
        assert other != changed
    left.close()
