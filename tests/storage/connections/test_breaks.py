"""A connection that ends or stalls at any byte: the caller hears the truth soon, and the next call works."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import NamedTuple

import pytest
import uvloop
from sqlalchemy import text

from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage.postgres import conversation as conversation_module
from sprocket_grpc.storage.postgres import database as database_module
from sprocket_grpc.storage.postgres import pool as pool_module
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.tap import Break, How, Tap, Way, tap_to
from tests.support.waiting import until

SOON_SECONDS = 30
"""The most that a caller waits: much more than it takes, because this machine may be busy."""

INSERT = Statement(text("INSERT INTO written VALUES (CAST(:number AS bigint))"))
ECHO = Statement(text("SELECT CAST(:number AS bigint)"))

SECONDS = [
    (database_module, "_READ_SECONDS"),
    (database_module, "_UNIT_SECONDS"),
    (pool_module, "_OPEN_SECONDS"),
    (conversation_module, "_CANCEL_SECONDS"),
]

_CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"

numbers = count(1_000_000)  # all as long as the first one, so that positions stay the same


class Length(NamedTuple):
    """The bytes of a use in each direction: of all, of opening its connection, and of all before its COMMIT is sent."""

    all: dict[Way, int]
    opening: dict[Way, int]
    before_commit: dict[Way, int]


class Use(NamedTuple):
    """A use of a database.

    Attributes:
        run: Runs it with a number, which is its result.
        writes: Whether it writes the number.
    """

    run: Callable[[Database, int, Callable[[], None]], Awaitable[object]]
    writes: bool


async def write(database: Database, number: int, before_commit: Callable[[], None]) -> object:
    def work(connection: Connection) -> object:
        connection.execute(INSERT, {"number": number})
        echo = connection.scalar(ECHO, {"number": number})
        before_commit()
        return echo

    return await database.run_in_transaction(work)


async def read(database: Database, number: int, _: Callable[[], None] = lambda: None) -> object:
    return await database.read(Read(ECHO, {"number": number}, lambda rows: rows[0][0]))


USES = {"a transaction": Use(write, writes=True), "a read": Use(read, writes=False)}
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

with_each_loop = pytest.mark.parametrize("loop", LOOPS)
with_each_use = pytest.mark.parametrize("use", USES)
with_each_step = pytest.mark.parametrize("step", [29, pytest.param(13, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        running.query("CREATE TABLE written (number bigint)")
        yield running


class Walk:
    """Breaks a use at many positions, each on a connection of its own, and checks what callers are promised.

    Attributes:
        at_once: How many connections are broken at a time.
        in_doubt: The numbers whose callers do not know whether they were written.
        written: The numbers that were acknowledged.
    """

    at_once = 6

    def __init__(self, server: PostgresServer, use: Use, how: How) -> None:
        self.in_doubt: set[int] = set()
        self.written: set[int] = set()
        self._server = server
        self._use = use
        self._how = how
        self._turns = asyncio.Semaphore(self.at_once)
        server.query("TRUNCATE written")

    async def run(self, step: int) -> None:
        """Break a use at each `step`th position in each direction, at more of its COMMIT, and behind the last one."""
        length = await self._measure()
        async with asyncio.TaskGroup() as group:
            for way, last in length.all.items():
                commit = length.before_commit[way]
                for position in {*range(0, last, step), *range(commit, last, -(-step // 7)), last}:
                    at = Break(way, position, self._how)
                    is_retried = not self._use.writes and position > length.opening[way] and self._how is not How.HOLD
                    group.create_task(self._break(at, commits=position >= commit, is_retried=is_retried))
        await until(lambda: self._server.query(_CLIENTS) == [(1,)])
        self._check()

    async def _measure(self) -> Length:
        async with tap_to(self._server.port) as tap, database_at(tap) as database:
            before: list[dict[Way, int]] = []
            database.pool.give_back(await database.pool.take())
            opening, number = dict(tap.passed), next(numbers)
            assert await self._use.run(database, number, lambda: before.append(dict(tap.passed))) == number
            self.written.add(number)
            return Length(dict(tap.passed), opening, next(iter(before), tap.passed))

    async def _break(self, at: Break, *, commits: bool, is_retried: bool) -> None:
        async with self._turns, tap_to(self._server.port, at) as tap, database_at(tap) as database:
            number = next(numbers)
            using = asyncio.ensure_future(self._use.run(database, number, lambda: None))
            await self.disturb(tap, using)
            async with asyncio.timeout(SOON_SECONDS):
                await asyncio.wait([using])
            self._note(using, number, commits=commits)
            assert number in self.written or not is_retried, at
            async with asyncio.timeout(SOON_SECONDS):
                await self.follow(database)
            await until(lambda: database.pool.used == 0)

    async def disturb(self, tap: Tap, using: "asyncio.Future[object]") -> None:
        """Do something to the use while its connection is broken."""

    async def follow(self, database: Database) -> None:
        """Make the next call, which works."""
        number = next(numbers)
        assert await read(database, number) == number

    def _note(self, using: "asyncio.Future[object]", number: int, *, commits: bool) -> None:
        if using.cancelled() or using.exception():
            assert using.cancelled() or isinstance(using.exception(), UnavailableError)
            if commits:
                self.in_doubt.add(number)
        else:
            assert using.result() == number
            self.written.add(number)

    def _check(self) -> None:
        """Check that each number was written, or was not, as its caller knows."""
        if self._use.writes:
            rows = [number for (number,) in self._server.query("SELECT number FROM written")]
            assert len(rows) == len(set(rows))
            assert self.written <= set(rows) <= self.written | self.in_doubt


class WalkOfCancelledCalls(Walk):
    """The call is cancelled at each position, while what follows is under way."""

    async def disturb(self, tap: Tap, using: "asyncio.Future[object]") -> None:
        reaching: asyncio.Future[object] = asyncio.ensure_future(tap.reached.wait())
        await asyncio.wait([reaching, using], return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
        using.cancel()
        tap.release()


class WalkOfStalledCalls(Walk):
    """What follows a position never comes."""

    at_once = 24  # which all wait

    async def follow(self, database: Database) -> None:
        async def works() -> bool:
            try:
                await super(WalkOfStalledCalls, self).follow(database)
            except UnavailableError:  # on a busy machine the limits are too short for it
                return False
            return True

        await until(works)


@asynccontextmanager
async def database_at(tap: Tap) -> AsyncIterator[Database]:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{tap.port}/postgres"
    database = Database(url, pool_size=1, pool_timeout_seconds=60)
    try:
        yield database
    finally:
        await database.close()


def walk(loop: str, walk: Walk, step: int) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(walk.run(step))


@with_each_step
@with_each_loop
@with_each_use
@pytest.mark.parametrize("how", [How.CUT, How.RESET], ids=lambda how: how.name)
def test_a_connection_may_end_at_any_byte(server: PostgresServer, use: str, how: How, loop: str, step: int) -> None:
    walk(loop, Walk(server, USES[use], how), step)


@with_each_step
@with_each_loop
@with_each_use
def test_a_call_may_be_cancelled_at_any_byte(server: PostgresServer, use: str, loop: str, step: int) -> None:
    walk(loop, WalkOfCancelledCalls(server, USES[use], How.HOLD), step)


@pytest.mark.slow
@with_each_loop
@with_each_use
def test_a_connection_may_stall_at_any_byte(
    server: PostgresServer, use: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in SECONDS:
        monkeypatch.setattr(module, name, 1)
    walk(loop, WalkOfStalledCalls(server, USES[use], How.HOLD), step=211)


@with_each_loop
@with_each_use
def test_a_connection_may_come_byte_by_byte(server: PostgresServer, use: str, loop: str) -> None:
    async def drip() -> None:
        async with tap_to(server.port, drips=True) as tap, database_at(tap) as database:
            number = next(numbers)
            assert await USES[use].run(database, number, lambda: None) == number

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(drip())
