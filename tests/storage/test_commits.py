"""Commits that fail: the caller gets the right error, nothing is written, and the pool keeps working."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text

from sprocket_grpc.errors import AbortedError, DeadlineExceededError, UnavailableError
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.statements import Statement
from tests.support.waiting import wait_until

# A deferred trigger runs at the commit: it sleeps, ends its own backend, or raises the SQLSTATE that was inserted.
FAILS_AT_COMMIT = (
    "CREATE TABLE trial (outcome text)",
    """
    CREATE FUNCTION fail_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.outcome = 'slow' THEN PERFORM pg_sleep(30);
        ELSIF NEW.outcome = 'lost' THEN PERFORM pg_terminate_backend(pg_backend_pid());
        ELSIF NEW.outcome <> 'ok' THEN RAISE EXCEPTION 'at commit' USING ERRCODE = NEW.outcome;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER fail_at_commit AFTER INSERT ON trial DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION fail_at_commit()
    """,
)

COMMITTING = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'
""")

Timed = list[str | None]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection to a database in which commits can fail."""
    with create_plain_engine(database_url).begin() as connection:
        for statement in FAILS_AT_COMMIT:
            connection.execute(text(statement))
    database = Database(database_url, pool_size=1, pool_timeout_seconds=1)
    yield database
    await database.close()


@pytest.fixture
def timed(database: Database) -> Timed:
    """The errors of the commits that the database has timed."""
    errors: Timed = []

    def note(statement: Statement, _: float, error: str | None) -> None:
        if statement.text == b"COMMIT":
            errors.append(error)

    database.on_statement = note
    return errors


def insert(connection: Connection, outcome: str) -> None:
    connection.execute(text("INSERT INTO trial VALUES (:outcome)"), {"outcome": outcome})


def count(connection: Connection) -> int:
    number: int = connection.scalar(text("SELECT count(*) FROM trial"))
    return number


@pytest.mark.parametrize(
    ("outcome", "error", "name"),
    [
        ("40001", AbortedError, "40001"),
        ("57014", DeadlineExceededError, "57014"),
        ("lost", UnavailableError, "57P01"),
        ("XX000", psycopg.Error, "XX000"),
    ],
)
async def test_a_commit_that_fails_writes_nothing_and_costs_no_connection(
    database: Database, timed: Timed, outcome: str, error: type[Exception], name: str
) -> None:
    with pytest.raises(error):
        await database.run_in_transaction(insert, outcome)
    assert timed == [name]
    assert await database.run(count) == 0
    await database.run_in_transaction(insert, "ok")
    assert timed == [name, None]
    assert await database.run(count) == 1
    assert database.pool.used == 0


def is_committing(url: str) -> bool:
    """Whether a commit sleeps in its trigger."""
    with create_plain_engine(url).connect() as connection:
        return bool(connection.scalar(COMMITTING))


async def test_a_call_that_is_cancelled_during_its_commit_costs_no_connection(
    database: Database, database_url: str, timed: Timed
) -> None:
    writing = asyncio.create_task(database.run_in_transaction(insert, "slow"))
    await asyncio.to_thread(wait_until, lambda: is_committing(database_url))
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert timed == ["CancelledError"]
    assert await database.run(count) == 0
    assert database.pool.used == 0
