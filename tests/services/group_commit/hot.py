"""A factory with many concurrent creates, and locks that block these."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket_grpc.services.sprocket_creation import SprocketCreation
from tests.support.books import query
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import create_factory, create_sprocket_type
from tests.support.service import Service
from tests.support.waiting import until

LOCK_FACTORY = "SELECT FROM factory WHERE id = :id FOR NO KEY UPDATE"
LOCK_TYPE = "SELECT FROM sprocket_type WHERE id = :id FOR UPDATE"

creations: list[SprocketCreation] = []
"""What creates sprockets in the servers of a test; see the fixture of the same name."""

Call: TypeAlias = "asyncio.Task[Sprocket]"
Waiter: TypeAlias = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Hot:
    """A factory with many concurrent creates of sprockets.

    Attributes:
        service: The service that clients call.
        factory_id: The id of the factory.
        type_id: The default type of the sprockets.
    """

    service: Service
    factory_id: str
    type_id: str

    def create(self, name: str = "", type_id: str = "", request_id: str = "", **options: Any) -> Call:
        """Start to create a sprocket, and return the running call."""
        sprocket = Sprocket(display_name=name, factory_id=self.factory_id, sprocket_type_id=type_id or self.type_id)
        request = CreateSprocketRequest(sprocket=sprocket, request_id=request_id)

        async def call() -> Sprocket:
            return (await self.service.sprockets.CreateSprocket(request, **options)).sprocket

        return asyncio.create_task(call())

    async def names(self) -> list[str]:
        """Return the names of the sprockets in the factory."""
        statement = "SELECT display_name FROM sprocket WHERE factory_id = :id ORDER BY display_name"
        return [name for (name,) in await query(self.service, statement, id=self.factory_id)]

    async def commits(self) -> list[int]:
        """Return the number of sprockets of each transaction."""
        statement = "SELECT count(*) FROM sprocket WHERE factory_id = :id GROUP BY xmin ORDER BY 1"
        return [count for (count,) in await query(self.service, statement, id=self.factory_id)]


async def held_up(hot: Hot) -> None:
    """Wait until creates in the factory go on by themselves, for one of them waited too long for a lock."""
    await until(lambda: any(each._factories.is_busy(hot.factory_id) for each in creations))


async def hot_factory(service: Service) -> Hot:
    return Hot(service, (await create_factory(service)).id, (await create_sprocket_type(service)).id)


@asynccontextmanager
async def busy(hot: Hot, url: str, **options: Any) -> AsyncIterator[Call]:
    """Start the first create in the factory, named `first`, and block it until the block ends."""
    async with open_transaction(url, LOCK_FACTORY, id=hot.factory_id) as transaction:
        first = hot.create("first", **options)
        await held_up(hot)
        await waiting_for(transaction)
        yield first


@asynccontextmanager
async def batch_under_way(hot: Hot, url: str, collected: Waiter, calls: int) -> AsyncIterator[list[Call]]:
    """Start a batch of calls, named `0` and so on, and block it until the block ends."""
    kind = await create_sprocket_type(hot.service)
    async with open_transaction(url, LOCK_TYPE, id=kind.id) as transaction:
        async with busy(hot, url) as first:
            batch = [hot.create(str(number), kind.id) for number in range(calls)]
            await collected(calls)
        await first
        await waiting_for(transaction)
        yield batch


async def cancel(*calls: Call) -> None:
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)


async def answers(calls: Sequence[Call]) -> list[Sprocket]:
    return list(await asyncio.gather(*calls))
