"""Many rows are converted when they are used, which may be when their connection has another caller, or has ended."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.rows import FEW, LazyRows
from sprocket_grpc.storage.postgres.statements import Statement

NUMBERED = Statement(
    text("SELECT CAST(n AS bigint), CAST(:text AS text) || n FROM generate_series(1, CAST(:count AS int)) AS n")
)
OTHER_TYPES = Statement(text("SELECT CAST(n AS float8), n > 1, NULL FROM generate_series(1, 500) AS n"))
MANY = 2 * FEW + 50

Rows = Sequence[tuple[Any, ...]]


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    database = Database(empty_database_url, pool_size=1)
    yield database
    await database.close()


async def read(database: Database, count: int) -> Rows:
    """Read rows with a number from 1 and a text."""
    return await database.read(Read(NUMBERED, {"text": "ß", "count": count}, lambda rows: rows))


def expected(count: int) -> list[tuple[Any, ...]]:
    return [(number, f"ß{number}") for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, MANY])
async def test_rows_are_a_sequence_however_many_there_are(database: Database, count: int) -> None:
    rows, wanted = await read(database, count), expected(count)
    assert isinstance(rows, LazyRows) == (count > FEW)
    assert len(rows) == count
    assert [*rows] == wanted
    for part in (slice(None, 7), slice(30, 240), slice(-3, None), slice(count, None), slice(200, 3, -7)):
        assert [*rows[part]] == wanted[part]
        assert len(rows[part]) == len(wanted[part])
    if count:
        assert (rows[0], rows[-1], rows[count // 2]) == (wanted[0], wanted[-1], wanted[count // 2])
    with pytest.raises(IndexError):
        rows[count]


async def test_the_rows_of_one_answer_are_not_those_of_a_later_one_on_the_same_connection(database: Database) -> None:
    rows = iter(await read(database, MANY))
    first = next(rows)
    others = await database.read(Read(OTHER_TYPES, {}, iter))
    assert next(others) == (1.0, False, None)
    assert [first, *rows] == expected(MANY)
    assert len([*others]) == 499


async def test_rows_can_be_used_when_their_connection_has_ended(database: Database) -> None:
    rows = await read(database, MANY)
    await database.close()
    assert [*rows] == expected(MANY)
