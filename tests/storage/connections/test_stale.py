"""Statements that a connection has not prepared any more, as behind a pooler: nothing is done twice for them."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text

from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage.postgres.answers import LostConnectionError
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.errors import is_of_statement, is_stale
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement, request
from tests.support.waiting import until

INSERT = Statement(text("INSERT INTO number VALUES (1)"))
COUNT = Statement(text("SELECT count(*) FROM number"))
READ_COUNT: Read[int] = Read(COUNT, {}, lambda rows: int(rows[0][0]))
FORGET = text("DEALLOCATE ALL")


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection, which has prepared all statements."""
    database = Database(empty_database_url, pool_size=1)
    await database.run(lambda connection: connection.execute(text("CREATE TABLE number (value bigint)")))
    await database.run_dry(insert)
    await database.run_together(insert, in_one_round=True)
    await database.run(lambda connection: connection.execute(text("DELETE FROM number")))
    yield database
    await until(lambda: database.pool.used == 0)
    await database.close()


def insert(connection: Connection) -> None:
    connection.execute(INSERT)
    connection.execute(COUNT)


USES: dict[str, Callable[[Database], Awaitable[object]]] = {
    "a statement": lambda database: database.run(insert),
    "a transaction": lambda database: database.run_in_transaction(insert),
    "a group": lambda database: database.run_together(insert, in_one_round=True),
    "a group in rounds": lambda database: database.run_together(insert, in_one_round=False),
}


@pytest.mark.parametrize("use", USES)
async def test_work_whose_first_statements_are_stale_runs_on_another_connection(database: Database, use: str) -> None:
    await database.run(lambda connection: connection.execute(FORGET))
    await USES[use](database)
    assert await database.read(READ_COUNT) == 1


async def test_a_read_that_is_stale_runs_on_another_connection(database: Database) -> None:
    await database.read(READ_COUNT)
    await database.run(lambda connection: connection.execute(FORGET))
    assert await database.read(READ_COUNT) == 0


async def test_work_that_is_stale_on_another_connection_too_is_unavailable(empty_database_url: str) -> None:
    database = Database(empty_database_url, pool_size=2)
    await database.run(lambda connection: connection.execute(text("CREATE TABLE number (value bigint)")))
    several = [await database.pool.take() for _ in range(2)]
    for each in several:
        await each.ask([request(INSERT)], 10)
        await each.ask([request(FORGET)], 10)
    for each in several:
        database.pool.give_back(each)
    with pytest.raises(UnavailableError):
        await database.run_in_transaction(insert)
    assert await database.read(READ_COUNT) == 2  # of the preparation
    await database.close()


@pytest.mark.parametrize(("is_transaction", "rows"), [(False, 1), (True, 0)])
async def test_work_that_has_seen_results_does_not_run_again(
    database: Database, rows: int, *, is_transaction: bool
) -> None:
    runs = []

    def work(connection: Connection) -> None:
        runs.append(connection.execute(INSERT).all())
        connection.execute(FORGET).all()
        connection.scalar(COUNT)

    with pytest.raises(UnavailableError):
        await (database.run_in_transaction(work) if is_transaction else database.run(work))
    assert len(runs) == 1
    assert await database.read(READ_COUNT) == rows


@pytest.mark.parametrize("state", ["XX000", "25P04", "0A000", "26000", "57P01"])
def test_the_end_of_a_connection_never_means_that_nothing_was_done(state: str) -> None:
    error = LostConnectionError("", state)
    assert not is_of_statement(error)
    assert not is_stale(error)


async def test_other_types_of_columns_are_found_by_all_connections(empty_database_url: str) -> None:
    database = Database(empty_database_url, pool_size=4)
    await database.run(lambda connection: connection.execute(text("CREATE TABLE number (value bigint)")))
    read: Read[object] = Read(Statement(text("SELECT value FROM number")), {}, list)
    several = [await database.pool.take() for _ in range(4)]
    for each in several:
        database.pool.give_back(each)
        await database.read(read)
        assert await database.pool.take() is each  # the last one that was given back
    for each in several:
        database.pool.give_back(each)
    await database.run(lambda connection: connection.execute(text("ALTER TABLE number ALTER value TYPE text")))
    for _ in range(4):
        assert await database.read(read) == []
    await database.close()
