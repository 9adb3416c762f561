"""Callers that are limited to factories lock nothing of other factories, and wait for no lock on it, to be refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from sprocket.v1 import sprocket_pb2
from sprocket.v1.factory_pb2 import Factory
from sprocket.v1.sprocket_pb2 import Sprocket
from tests.conformance.promises import refusal
from tests.conformance.test_factory_limits import (
    PERMISSION_DENIED,
    WRITES,
    Limited,
    Make,
    delete,
    limited,
    new_factories,
    update,
)
from tests.conformance.writes import dump
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import create_factory, create_sprocket
from tests.support.row_locks import Row, row_locked

__all__ = ["limited"]  # a fixture

AT_ONCE_SECONDS = 20
"""The call ends at a lock that is held until its deadline."""


def rows_of(factory: Factory, sprocket: Sprocket) -> list[Row]:
    return [
        Row("sprocket", sprocket.id),
        Row("factory", factory.id),
        Row("location", factory.location_id),
        Row("sprocket_type", sprocket.sprocket_type_id),
    ]


@asynccontextmanager
async def all_locked(url: str, rows: list[Row]) -> AsyncIterator[None]:
    """Lock rows until the block ends, as strongly as a deletion does."""
    async with AsyncExitStack() as locks:
        for row in rows:
            await locks.enter_async_context(row_locked(url, row, "UPDATE"))
        yield


@pytest.mark.parametrize("make", WRITES.values(), ids=WRITES)
async def test_a_write_to_another_factory_is_refused_at_once_while_all_its_rows_are_locked(
    limited: Limited, database_url: str, make: Make
) -> None:
    other = await create_factory(limited.open)
    sprocket = await create_sprocket(limited.open, factory_id=other.id)
    method, request = make(limited, other, sprocket)
    async with all_locked(database_url, rows_of(other, sprocket)):
        await refusal(limited.stub(method, AT_ONCE_SECONDS)(request), *PERMISSION_DENIED)


async def test_a_new_factory_is_refused_at_once_while_its_location_is_locked(
    limited: Limited, database_url: str
) -> None:
    async with row_locked(database_url, Row("location", limited.mine.location_id), "UPDATE"):
        for method, request in new_factories(limited.mine.location_id):
            await refusal(limited.stub(method, AT_ONCE_SECONDS)(request), *PERMISSION_DENIED)


MOVED_AWAY = {
    "update": lambda mine, _: update(Sprocket(id=mine.id, display_name="x"), "display_name"),
    "update, or create": lambda mine, _: update(
        Sprocket(id=mine.id, display_name="x"), "display_name", allow_missing=True
    ),
    "delete": lambda mine, _: delete(mine),
    "delete with an etag": lambda mine, _: delete(mine, etag=mine.etag),
    "batch delete": lambda mine, also_mine: (
        "BatchDeleteSprockets",
        sprocket_pb2.BatchDeleteSprocketsRequest(ids=[also_mine.id, mine.id]),
    ),
}

_MOVE = "UPDATE sprocket SET factory_id = CAST(:factory_id AS uuid) WHERE id = CAST(:id AS uuid)"


@pytest.mark.parametrize("make", MOVED_AWAY.values(), ids=MOVED_AWAY)
async def test_a_write_that_waits_while_its_sprocket_moves_to_another_factory_is_refused(
    limited: Limited, database_url: str, make: Any
) -> None:
    other = await create_factory(limited.open)
    also_mine = await create_sprocket(limited.open, factory_id=limited.mine.id)
    method, request = make(limited.my_sprocket, also_mine)
    async with open_transaction(database_url, _MOVE, id=limited.my_sprocket.id, factory_id=other.id) as moving:
        writing = asyncio.ensure_future(refusal(limited.stub(method)(request), *PERMISSION_DENIED))
        await waiting_for(moving)
        await moving.commit()
        before = await dump(limited.open)
        failure = await writing
    assert failure.info.metadata["values"] == limited.my_sprocket.id
    assert await dump(limited.open) == before
