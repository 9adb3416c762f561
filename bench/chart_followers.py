"""Measures followers of charts: the CPU of a thousand idle ones, and the delay from a change to a follower."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import grpc

from bench import processes
from bench.database import Postgres
from bench.processes import Server
from bench.report import Figure, Progress, Target, interleave
from sprocket.v1.factory_pb2 import FollowFactoryChartsRequest, GetFactoryChartRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub

if TYPE_CHECKING:  # the typed clients are in the stubs only
    from sprocket.v1.factory_pb2_grpc import FactoryServiceAsyncStub
    from sprocket.v1.sprocket_pb2_grpc import SprocketServiceAsyncStub

PROMISED_MILLISECONDS = 250.0

_CHANNELS = 4
_LONGEST_PAUSE_SECONDS = 0.4  # twice the poll interval, so that changes fall anywhere within one
_PATIENCE_SECONDS = 30


class _Response(Protocol):
    @property
    def end_of_history(self) -> bool: ...


_Streams: TypeAlias = "Iterator[AsyncIterator[_Response]]"
_Opener: TypeAlias = "Callable[[Sequence[FactoryServiceAsyncStub], Sequence[str]], _Streams]"


class Share(NamedTuple):
    """The CPU used by the service and by PostgreSQL, in percent of one core."""

    server: float
    postgres: float


def measure_idle(
    server: Server, postgres: Postgres, factory_ids: Sequence[str], rounds: int, seconds: float, progress: Progress
) -> list[Figure]:
    """Measure idle followers of all `factory_ids`: first in one call per chart, then in one call for all charts.

    Each round lasts `seconds`.
    """
    many, one = f"{len(factory_ids):,} idle followers, a call each", f"{len(factory_ids):,} idle charts in one call"

    def contender(opener: _Opener) -> Callable[[], Share]:
        return lambda: asyncio.run(_observe(server, postgres, opener, factory_ids, seconds))

    contenders = {many: contender(_open_many), one: contender(_open_one)}
    runs = interleave(contenders, rounds, progress)
    return [figure for name in (many, one) for figure in _idle_figures(name, runs[name])]


def _idle_figures(name: str, shares: Sequence[Share]) -> Iterator[Figure]:
    a_core = [100.0] * len(shares)
    target = Target("<=", 0.05)
    server, postgres = [each.server for each in shares], [each.postgres for each in shares]
    yield Figure(f"{name}, the service", "% CPU", server, "one core", a_core, (target,))
    yield Figure(f"{name}, PostgreSQL", "% CPU", postgres, "one core", a_core)


def _open_many(clients: "Sequence[FactoryServiceAsyncStub]", factory_ids: Sequence[str]) -> _Streams:
    for number, factory_id in enumerate(factory_ids):
        client = clients[number % len(clients)]
        yield aiter(client.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True)))


def _open_one(clients: "Sequence[FactoryServiceAsyncStub]", factory_ids: Sequence[str]) -> _Streams:
    yield aiter(clients[0].FollowFactoryCharts(FollowFactoryChartsRequest(factory_ids=factory_ids)))


async def _observe(
    server: Server, postgres: Postgres, opener: _Opener, factory_ids: Sequence[str], seconds: float
) -> Share:
    """Start followers, and return the CPU that the server and PostgreSQL use while no chart changes."""
    async with AsyncExitStack() as until_the_end:
        channels = [await until_the_end.enter_async_context(_channel(server.address)) for _ in range(_CHANNELS)]
        streams = list(opener([FactoryServiceStub(channel) for channel in channels], factory_ids))
        await asyncio.gather(*map(_history_ends, streams))
        readers = [asyncio.create_task(_take_in(stream)) for stream in streams]
        before = _cpu_seconds(server, postgres)
        ended, _ = await asyncio.wait(readers, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        after = _cpu_seconds(server, postgres)
        for reader in ended:
            raise RuntimeError("a stream has ended") from reader.exception()
        for reader in readers:
            reader.cancel()
    return Share(*(100 * (late - early) / seconds for early, late in zip(before, after, strict=True)))


def _cpu_seconds(server: Server, postgres: Postgres) -> tuple[float, float]:
    return processes.cpu_seconds(server.pid), processes.family_cpu_seconds(postgres.pid)


def _channel(address: str) -> grpc.aio.Channel:
    # Channels of one process would share a connection.
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def _history_ends(stream: AsyncIterator[_Response]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not (await anext(stream)).end_of_history:
            pass


async def _take_in(stream: AsyncIterator[_Response]) -> None:
    async for _ in stream:
        pass


def measure_latency(
    server: Server, factory_id: str, sprocket_type_id: str, count: int, progress: Progress
) -> list[Figure]:
    """Measure the delay from a change to its entry at a follower, for `count` changes at random times."""
    sprocket = Sprocket(factory_id=factory_id, sprocket_type_id=sprocket_type_id)
    with progress.step(f"following {count} changes"):
        latencies = sorted(asyncio.run(_latencies(server.address, sprocket, count)))
    values = {"median": median(latencies), "p99": latencies[-1 - count // 100], "maximum": latencies[-1]}
    return [
        Figure(
            what=f"from change to follower, {name} of {count}",
            unit="ms",
            measured=[value],
            against="promised maximum",
            reference=[PROMISED_MILLISECONDS],
            targets=(Target("<=", 1.0),),
        )
        for name, value in values.items()
    ]


async def _latencies(address: str, sprocket: Sprocket, count: int) -> list[float]:
    async with _channel(address) as channel, asyncio.timeout(count * _LONGEST_PAUSE_SECONDS + _PATIENCE_SECONDS):
        arrivals = asyncio.create_task(_arrivals(FactoryServiceStub(channel), sprocket.factory_id, count))
        sprockets: SprocketServiceAsyncStub = SprocketServiceStub(channel)
        for _ in range(count):
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311  # no secret
            await sprockets.CreateSprocket(CreateSprocketRequest(sprocket=sprocket))
        return await arrivals


async def _arrivals(client: "FactoryServiceAsyncStub", factory_id: str, count: int) -> list[float]:
    """Return the age of each new entry on arrival, in milliseconds.

    The server takes the time of an entry shortly before the commit, from the clock of the same machine.
    """
    stream = aiter(client.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id, follow=True)))
    await _history_ends(stream)
    ages: list[float] = []
    while len(ages) < count:
        response = await anext(stream)
        arrived = time.time()
        ages.extend(1000 * arrived - micros / 1000 for micros in response.chart.time_micros)
    return ages
