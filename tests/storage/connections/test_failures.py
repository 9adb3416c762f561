"""Failures that PostgreSQL or libpq report late, elsewhere or not at all: none of them passes as a success."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from unittest.mock import patch

import psycopg
import pytest
from psycopg.errors import InFailedSqlTransaction, UniqueViolation
from sqlalchemy import text

from sprocket_grpc.storage.postgres import conversation as conversation_module
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement, request
from tests.support.waiting import until

NUMBERS = text("CREATE TABLE number (value bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
INSERT = Statement(text("INSERT INTO number VALUES (CAST(:value AS bigint))"))
COUNT: Read[int] = Read(Statement(text("SELECT count(*) FROM number")), {}, lambda rows: int(rows[0][0]))
FAIL = Statement(text("SELECT 1 / 0"))


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    database = Database(empty_database_url, pool_size=1)
    await database.run(lambda connection: connection.execute(NUMBERS))
    yield database
    await until(lambda: database.pool.used == 0)
    await database.close()


def insert_twice(connection: Connection) -> None:
    for _ in range(2):
        connection.execute(INSERT, {"value": 1})


async def test_statements_without_a_transaction_fail_together_at_their_end(database: Database) -> None:
    with pytest.raises(UniqueViolation):
        await database.run(insert_twice)
    assert await database.read(COUNT) == 0


async def test_a_transaction_whose_commit_fails_is_not_committed(database: Database) -> None:
    with pytest.raises(UniqueViolation):
        await database.run_in_transaction(insert_twice)
    assert await database.read(COUNT) == 0


async def test_work_that_goes_on_after_a_failed_statement_is_not_acknowledged(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"value": 1})
        with suppress(psycopg.Error):
            connection.scalar(FAIL)

    with pytest.raises(InFailedSqlTransaction):
        await database.run_in_transaction(work)
    assert await database.read(COUNT) == 0


@pytest.mark.parametrize("cut", [lambda value: value, lambda value: [value]], ids=["text", "array"])
async def test_a_text_with_a_nul_is_refused_and_not_cut_off(database: Database, cut: Callable[[str], object]) -> None:
    read = Read(Statement(text("SELECT CAST(:value AS text)")), {"value": cut("a\0b")}, list)
    with pytest.raises(psycopg.DataError):
        await database.read(read)


async def test_a_statement_that_was_evicted_and_prepared_again_behind_a_failure_stays_usable(
    database: Database,
) -> None:
    first, *others = [request(Statement(text(f"SELECT {number}"))) for number in range(4)]
    conversation = await database.pool.take()
    with patch.object(conversation_module, "_MOST_PREPARED", 3):
        await conversation.ask([first, others[0], request(FAIL), *others[1:], first], 60)
        for asked in (first, *others):
            [answer] = await conversation.ask([asked], 60)
            assert answer.error_message == b""
    database.pool.give_back(conversation)
