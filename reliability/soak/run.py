"""Users who use a server in every way, while what it uses is sampled."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.request import urlopen

import grpc

from reliability.database import ROLE, Database
from reliability.server import ServerProcess, new_server
from reliability.soak.activities import ACTIVITIES
from reliability.soak.samples import Sample, sample
from reliability.soak.strangers import STRANGERS
from reliability.soak.user import Stock, User
from sprocket.v1.factory_pb2 import CreateFactoryRequest
from sprocket.v1.location_pb2 import CreateLocationRequest
from sprocket.v1.sprocket_type_pb2 import CreateSprocketTypeRequest
from sprocket_grpc.auth.api_key import make_key
from sprocket_grpc.storage import api_key
from sprocket_grpc.storage.api_key import ValidKey
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.ports import free_address

_USERS, _FACTORIES, _KEYS = 12, 10, 100
_LONGEST_PAUSE_SECONDS = 0.1
_SAMPLES, _SHORTEST_INTERVAL_SECONDS = 600, 1.0

_BACKENDS = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'"  # noqa: S608  # a constant


@contextmanager
def server_with_keys(database: Database, log: Path, stock: Stock) -> Iterator[ServerProcess]:
    """Run a server that wants API keys and serves metrics, until the block ends, and add the keys to the stock."""
    keys = [make_key() for _ in range(_KEYS)]
    with create_plain_engine(database.url).begin() as connection:
        for number, key in enumerate(keys):
            permissions = ("read", "write", "admin")
            api_key.create(connection, key.id, ValidKey(f"user {number}", permissions, key.secret_hash), None)
    stock.keys = [key.text for key in keys]
    with new_server(database.url, log, api_keys="true", metrics_listen=free_address()) as server:
        yield server


class Soak:
    """A run.

    Attributes:
        samples: What was in use, at equal intervals.
    """

    def __init__(self, database: Database, server: ServerProcess, stock: Stock, draw: Random) -> None:
        self.samples: list[Sample] = []
        self._database = database
        self._server = server
        self._stock = stock
        self._draw = draw

    async def run(self, seconds: float, tell: Callable[[Sample], None]) -> None:
        """Let users use the server for a time.

        Args:
            seconds: How long.
            tell: Called with each sample.
        """
        users = await self.users()
        async with asyncio.TaskGroup() as group:
            using = [group.create_task(self._use(user)) for user in users]
            await self._sample(seconds, tell)
            for task in using:
                task.cancel()

    async def users(self) -> list[User]:
        """Create the resources that stay, and return the users."""
        users = [User(self._server.address, self._stock, Random(self._draw.random())) for _ in range(_USERS)]
        user, stock = users[0], self._stock
        location = await user.create("CreateLocation", CreateLocationRequest(location=user.location()))
        stock.location_id = location.location.id
        made = await user.create("CreateSprocketType", CreateSprocketTypeRequest(sprocket_type=user.sprocket_type()))
        stock.sprocket_type_id = made.sprocket_type.id
        for _ in range(_FACTORIES):
            factory = await user.create("CreateFactory", CreateFactoryRequest(factory=user.factory()))
            stock.factory_ids.append(factory.factory.id)
        return users

    async def _use(self, user: User) -> None:
        activities = {**ACTIVITIES, **STRANGERS}
        names, weights = list(activities), list(activities.values())
        while True:
            [activity] = user.draw.choices(names, weights)
            try:
                await activity(user)
            except grpc.aio.AioRpcError as error:  # of a stream
                self._stock.statuses[activity.__name__, error.code()] += 1
            await user.pause(_LONGEST_PAUSE_SECONDS)

    async def _sample(self, seconds: float, tell: Callable[[Sample], None]) -> None:
        began, interval = time.monotonic(), max(_SHORTEST_INTERVAL_SECONDS, seconds / _SAMPLES)
        while time.monotonic() < began + seconds:
            await asyncio.sleep(interval)
            self.samples.append(await asyncio.to_thread(self._measure, began))
            tell(self.samples[-1])

    def _measure(self, began: float) -> Sample:
        [(backends,)] = self._database.postgres.query(_BACKENDS)
        with urlopen(f"http://{self._server.settings['metrics_listen']}/metrics") as response:  # our own
            metrics = response.read().decode()
        return sample(began, self._server.pids, self._database.postmaster.pid, backends, metrics)
