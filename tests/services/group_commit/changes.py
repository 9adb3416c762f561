"""Calls that change rows, and a gate that holds the first of them while the next ones are collected."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.books import query
from tests.support.locks import waiting_for
from tests.support.resources import (
    Case,
)
from tests.support.row_locks import gate
from tests.support.service import Service


@asynccontextmanager
async def under_way(url: str, place: str, first: Awaitable[Any]) -> AsyncIterator[AsyncConnection]:
    """Start a call whose transaction waits at a gate until the block ends: the next calls are collected.

    Yields:
        The connection that holds the gate.
    """
    async with gate(url, place) as blocker:
        call = asyncio.ensure_future(first)
        await waiting_for(blocker)
        yield blocker
        await blocker.rollback()
    await call


async def made(case: Case, service: Service, count: int) -> list[Any]:
    return [await case.create(service) for _ in range(count)]


async def rename(case: Case, service: Service, row: Any, name: str, **fields: Any) -> Any:
    return await case.update(service, type(row)(id=row.id, display_name=name, **fields), ["display_name"])


def started(calls: list[Awaitable[Any]]) -> list["asyncio.Future[Any]"]:
    return [asyncio.ensure_future(each) for each in calls]


async def transactions_of(service: Service, case: Case, name: str) -> list[int]:
    """Return the number of rows with a name that each transaction has written last."""
    statement = f"SELECT count(*) FROM {case.name} WHERE display_name = :name GROUP BY xmin ORDER BY 1"  # noqa: S608
    return [count for (count,) in await query(service, statement, name=name)]
