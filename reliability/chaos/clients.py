"""Who uses the service with unary calls: writers, batchers, point readers and pagers."""

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import count
from random import Random
from typing import NamedTuple

from grpc import StatusCode

from reliability.chaos.client import Client, Notes
from reliability.chaos.ledger import Row
from sprocket.v1 import factory_pb2
from sprocket.v1 import sprocket_pb2 as pb

_MOST_LIVE = 600
"""The size that the database stays at: a full listing takes 12 pages."""

_BATCH = 10
_PAGE_SIZE = 50


class Places(NamedTuple):
    """Where sprockets are made.

    Attributes:
        factory_ids: The factories. The first gets half of all sprockets.
        sprocket_type_id: The type of all sprockets.
    """

    factory_ids: Sequence[str]
    sprocket_type_id: str

    def sprocket(self, name: str, draw: Random) -> pb.Sprocket:
        """Make a sprocket of a drawn factory."""
        factory_id = self.factory_ids[0] if draw.random() < 0.5 else draw.choice(self.factory_ids)
        return pb.Sprocket(display_name=name, sprocket_type_id=self.sprocket_type_id, factory_id=factory_id)


class _Making(Client):
    """Has places to write to."""

    def __init__(self, name: str, address: str, notes: Notes, draw: Random, places: Places) -> None:
        super().__init__(name, address, notes, draw)
        self._places = places

    def _has_too_many(self) -> bool:
        return self._draw.random() < len(self.notes.ledger.live) / _MOST_LIVE / 2

    def _taken(self, most: int) -> list[Row]:
        """Return up to `most` sprockets to delete, which the ledger does not expect to exist any more."""
        drawn = {self.notes.ledger.drawn(self._draw) for _ in range(most)}
        rows = [row for row in drawn if row]
        self.notes.ledger.deleting(rows)
        return rows


class Writer(_Making):
    """Creates or deletes one sprocket after another, each with a request id."""

    async def work(self) -> None:
        """Create or delete a sprocket."""
        request_id = str(uuid.uuid4())
        if self._has_too_many():
            for row in self._taken(1):
                await self.call("DeleteSprocket", pb.DeleteSprocketRequest(id=row.id, request_id=request_id))
                self.notes.ledger.has_deleted([row])
            return
        sprocket = self._places.sprocket(request_id, self._draw)
        self.notes.ledger.unknown.add(request_id)
        made = await self.call("CreateSprocket", pb.CreateSprocketRequest(sprocket=sprocket, request_id=request_id))
        self.notes.ledger.created(_rows([made.sprocket]))


class Batcher(_Making):
    """Creates or deletes several sprockets at once."""

    async def work(self) -> None:
        """Create or delete a batch."""
        request_id = str(uuid.uuid4())
        if self._has_too_many():
            rows = self._taken(_BATCH)
            ids = [row.id for row in rows]
            await self.call("BatchDeleteSprockets", pb.BatchDeleteSprocketsRequest(ids=ids, request_id=request_id))
            self.notes.ledger.has_deleted(rows)
            return
        names = [f"{request_id} {n}" for n in range(_BATCH)]
        self.notes.ledger.unknown.update(names)
        request = pb.BatchCreateSprocketsRequest(request_id=request_id)
        request.sprockets.extend(self._places.sprocket(name, self._draw) for name in names)
        made = await self.call("BatchCreateSprockets", request)
        self.notes.ledger.created(_rows(made.sprockets))


class GoalSetter(_Making):
    """Sets the goals of the factories, each time to a number that was never there."""

    def __init__(self, name: str, address: str, notes: Notes, draw: Random, places: Places) -> None:
        super().__init__(name, address, notes, draw, places)
        self._goals = count(1000)

    async def work(self) -> None:
        """Set the goal of one factory."""
        factory_id, goal = self._draw.choice(self._places.factory_ids), next(self._goals)
        request = factory_pb2.UpdateFactoryRequest(request_id=str(uuid.uuid4()))
        request.factory.id, request.factory.sprocket_production_goal = factory_id, goal
        request.update_mask.paths.append("sprocket_production_goal")
        await self.call("UpdateFactory", request)
        self.notes.ledger.goals.setdefault(factory_id, []).append(goal)


class Reader(Client):
    """Gets one sprocket after another, and finds each as it was created."""

    async def work(self) -> None:
        """Get a sprocket that must exist."""
        live = self.notes.ledger.live
        if not (row := self.notes.ledger.drawn(self._draw)):
            return

        def is_deleted(code: StatusCode) -> bool:
            return code is StatusCode.NOT_FOUND and row.name not in live

        response = await self.call("GetSprocket", pb.GetSprocketRequest(id=row.id), is_deleted)
        if list(_rows([response.sprocket])) != [row]:
            self.notes.problems.append(f"GetSprocket({row.id}) returned another sprocket")


class Pager(Client):
    """Lists all sprockets page by page, and finds each that exists meanwhile exactly once."""

    async def work(self) -> None:
        """Go through one listing."""
        before = set(self.notes.ledger.live)
        found = [row async for row in self._listing()]
        names = {row.name for row in found}
        if missing := before & self.notes.ledger.live.keys() - names:
            self.notes.problems.append(f"a listing lacks {len(missing)} sprockets, such as {min(missing)}")
        if [row.id for row in found] != sorted({row.id for row in found}):
            self.notes.problems.append("a listing has a sprocket twice, or is not in the order of ids")

    async def _listing(self) -> AsyncIterator[Row]:
        request = pb.ListSprocketsRequest(page_size=_PAGE_SIZE)
        while True:
            page = await self.call("ListSprockets", request)
            for row in _rows(page.sprockets):
                yield row
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _rows(sprockets: Iterable[pb.Sprocket]) -> Iterator[Row]:
    return (Row(each.id, each.display_name) for each in sprockets)
