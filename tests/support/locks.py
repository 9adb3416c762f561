"""Blocks calls in the middle of their work, with a transaction that holds the locks that they need."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

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
    """Wait until `count` backends wait, directly or indirectly, for locks of the connection.

    Returns:
        The process ids of the waiting backends.
    """
    while len(found := (await connection.scalars(_WAITING)).all()) < count:  # noqa: ASYNC110  # there is no event
        await asyncio.sleep(0.01)
    return list(found)
