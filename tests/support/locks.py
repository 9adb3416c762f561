"""Blocks calls in the middle of their work, with a transaction that holds the locks that they need."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.support.waiting import PATIENCE_SECONDS, until

_WAITING = text("""
    WITH RECURSIVE waiting AS (
        SELECT pg_backend_pid() AS pid
        UNION SELECT pg_locks.pid FROM pg_locks JOIN waiting ON waiting.pid = ANY (pg_blocking_pids(pg_locks.pid))
        WHERE NOT granted
    )
    SELECT pid FROM waiting WHERE pid <> pg_backend_pid()
""")


@asynccontextmanager
async def open_transaction(url: str, statement: str, **parameters: object) -> AsyncIterator[AsyncConnection]:
    """Run a statement, and keep its transaction and locks open until the block ends or commits it."""
    async with create_async_engine(url, poolclass=NullPool).connect() as connection:
        await connection.execute(text(statement), parameters)
        yield connection


async def waiting_for(connection: AsyncConnection, count: int = 1) -> list[int]:
    """Wait until `count` backends wait, directly or indirectly, for locks of the connection; fail after a minute.

    Returns:
        The process ids of the waiting backends.
    """
    found: list[int] = []

    async def enough_wait() -> bool:
        found[:] = await connection.scalars(_WAITING)
        return len(found) >= count

    await until(enough_wait, PATIENCE_SECONDS)
    return found
