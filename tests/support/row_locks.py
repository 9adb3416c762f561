"""Asserts which rows a call has locked while it waits, with FOR ... NOWAIT from beside.

A call waits for a row that another transaction has locked, or at a gate: a trigger that waits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from sprocket_grpc.testing.postgres import execute
from tests.support.locks import open_transaction, waiting_for

PATIENCE_SECONDS = 60

_STRENGTHS = {"KEY SHARE": "UPDATE", "SHARE": "NO KEY UPDATE", "NO KEY UPDATE": "SHARE", "UPDATE": "KEY SHARE"}
"""What is locked by at least the second cannot be locked by the first (PostgreSQL manual, 13.3.2)."""

_CREATE_FUNCTION = """
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1);
    RETURN coalesce(NEW, OLD);
END
$$
"""


class Row(NamedTuple):
    """A row of a table."""

    table: str
    id: str


async def lock_on(url: str, row: Row) -> str:
    """Return the lock of other transactions on a row, such as `KEY SHARE`, or an empty string."""
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for strength, held in _STRENGTHS.items():
            statement = text(f"SELECT FROM {row.table} WHERE id = :id FOR {strength} NOWAIT")
            try:
                await connection.execute(statement, {"id": row.id})
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") != "55P03":  # lock_not_available
                    raise
                return held
    return ""


@asynccontextmanager
async def row_locked(url: str, row: Row, strength: str) -> AsyncIterator[Any]:
    """Lock a row until the block ends, and yield the connection that does."""
    statement = f"SELECT FROM {row.table} WHERE id = :id FOR {strength}"
    async with open_transaction(url, statement, id=row.id) as connection:
        yield connection


@asynccontextmanager
async def gate(url: str, place: str) -> AsyncIterator[Any]:
    """Let calls wait before `place`, such as `UPDATE ON factory FOR EACH STATEMENT`, until the block ends."""
    execute(url, _CREATE_FUNCTION)
    execute(url, f"CREATE TRIGGER gate BEFORE {place} EXECUTE FUNCTION wait_at_gate()")
    async with open_transaction(url, "SELECT pg_advisory_xact_lock(1)") as connection:
        yield connection


async def locks_while_waiting(url: str, blocker: Any, call: Awaitable[Any], rows: Iterable[Row]) -> dict[Row, str]:
    """Start a call, and return which locks it has on rows when it waits for `blocker`; then let it finish."""
    calling = asyncio.ensure_future(call)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await waiting_for(blocker)
        found = {row: await lock_on(url, row) for row in rows}
        await blocker.rollback()
        await calling
    return found
