"""Random sequences of what happens to calls and connections, against a model of what callers know."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any, ClassVar, NamedTuple, TypeVar

import psycopg
import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import make_url

from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.storage.postgres import conversation as conversation_module
from sprocket_grpc.storage.postgres import database as database_module
from sprocket_grpc.storage.postgres.database import Database
from tests.storage.connections.calls import Call, Kind, Plan, Step, Way
from tests.support.waiting import PATIENCE_SECONDS, until

T = TypeVar("T")

_EXAMPLES = 20
_SIZE = 2

_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

_HARMLESS = [Kind.ECHO, Kind.INSERT, Kind.SLEEP]
_LARGE = [Kind.ECHO, Kind.LARGE_ANSWER, Kind.LARGE_PARAMETER]
_STEPS = st.one_of(
    [
        st.lists(st.builds(Step, st.sampled_from(kinds), st.integers(0, 2), st.booleans()), min_size=1, max_size=most)
        for kinds, most in ((_HARMLESS, 8), (_LARGE, 3), ([*Kind], 8))
    ]
)
_PLANS = st.lists(st.builds(Plan, st.sampled_from(Way), _STEPS, st.sampled_from([False] * 5 + [True])), max_size=4)
_ECHO = Plan(Way.READ, [Step(Kind.ECHO, 0, looks=True)])
_INSERT = Plan(Way.TRANSACTION, [Step(Kind.INSERT, 0, looks=False)])
_LONG_WAYS = [Way.RUN, Way.TRANSACTION, Way.DRY]
_LONG = [Step(Kind.SLEEP, 0, looks=False)] * 30


class Pause(NamedTuple):
    """A time: turns of the event loop, then milliseconds."""

    turns: int
    milliseconds: int


_PAUSE = st.builds(Pause, st.sampled_from([0, 0, 1, 2, 3, 5, 8]), st.sampled_from([0, 0, 0, 1, 2, 5, 10, 30]))

_numbers = count(1, 1000)


class Sequence(RuleBasedStateMachine):
    """Lets things happen to a database and to its calls."""

    url: ClassVar[str]
    runner: ClassVar[asyncio.Runner]
    admin: ClassVar["psycopg.Connection[Any]"]

    def __init__(self) -> None:
        super().__init__()
        self.first = next(_numbers)
        self.calls: list[Call] = []
        self.databases: list[Database] = []
        self.closing: list[asyncio.Task[None]] = []
        self.errors: set[str | None] = set()
        self.run(self._open())

    @property
    def alive(self) -> list[Call]:
        """The calls that have not ended."""
        return [call for call in self.calls if not call.task.done()]

    @property
    def database(self) -> Database:
        """The database of new calls."""
        return self.databases[-1]

    @rule(plans=_PLANS, pause=_PAUSE)
    def start(self, plans: list[Plan], pause: Pause) -> None:
        for plan in plans:
            self.run(self._start(plan, pause))

    @rule(plans=_PLANS)
    def start_and_await(self, plans: list[Plan]) -> None:
        self.start(plans, Pause(0, 0))
        self.run(self._end_all())

    @rule(back=st.integers(1, 5), pause=_PAUSE)
    def cancel(self, back: int, pause: Pause) -> None:
        for call in self.calls[-back:][:1]:
            self._cancel(call)
        self.run(_sleep(pause))

    @rule(plans=_PLANS, before=_PAUSE, after=_PAUSE)
    def start_and_cancel(self, plans: list[Plan], before: Pause, after: Pause) -> None:
        for plan in plans:
            self._cancel(self.run(self._start(plan, before)))
        self.run(_sleep(after))

    @rule(pause=_PAUSE)
    def wait(self, pause: Pause) -> None:
        self.run(_sleep(pause))

    @rule(what=st.sampled_from(["renew", "kill", "close", "time out"]), way=st.sampled_from(_LONG_WAYS), pause=_PAUSE)
    def disturb(self, what: str, way: Way, pause: Pause) -> None:
        match what:
            case "renew":
                self.database.pool.renew()
            case "kill":
                self._disturb()
                self.run(self._kill())
            case "close":
                self.run(self._close_and_open())
            case "time out":
                self._time_out(way)
        self.run(_sleep(pause))

    @invariant()
    def no_more_connections_are_in_use_than_there_are(self) -> None:
        if any(database.pool._connector.failed_at for database in self.databases):
            self._disturb()  # then they do not try again
        for database in self.databases:
            assert 0 <= database.pool.used <= _SIZE

    def teardown(self) -> None:
        self.run(self._end())
        super().teardown()

    def run(self, work: Awaitable[T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(2 * PATIENCE_SECONDS):
                return await work

        return self.runner.run(bounded())

    def _time_out(self, way: Way) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database_module, "_UNIT_SECONDS", 0.05)
            patch.setattr(database_module, "_READ_SECONDS", 0.05)
            self._disturb()
            call = self.run(self._start(Plan(way, _LONG), Pause(0, 0)))
            call.is_disturbed = True
            self.run(self._end_all())
            assert call.error is UnavailableError

    def _disturb(self) -> None:
        for call in self.calls:
            call.is_disturbed = call.is_disturbed or not call.task.done()

    def _cancel(self, call: Call) -> None:
        call.is_disturbed = call.is_disturbed or not call.task.done()
        call.task.cancel()

    async def _open(self) -> None:
        database = Database(self.url, pool_size=_SIZE, pool_timeout_seconds=PATIENCE_SECONDS)
        database.on_statement = lambda _statement, _seconds, error: self.errors.add(error)
        self.databases.append(database)

    async def _start(self, plan: Plan, pause: Pause) -> Call:
        cannot_connect = bool(self.database.pool._connector.failed_at)
        call = Call(plan, next(_numbers), cannot_connect or any(each.is_disturbed for each in self.alive))
        call.start(self.database)
        self.calls.append(call)
        await _sleep(pause)
        return call

    async def _end_all(self) -> None:
        if self.alive:
            await asyncio.wait([call.task for call in self.alive])

    async def _kill(self) -> None:
        killed = self.admin.execute(f"SELECT pid, pg_terminate_backend(pid) {_OTHERS}").fetchall()
        pids = [pid for pid, _ in killed]
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        await until(lambda: self.admin.execute(alive, [pids]).fetchall() == [(0,)])
        await _sleep(Pause(3, 20))  # until the pool knows it

    async def _close_and_open(self) -> None:
        self.closing.append(asyncio.create_task(self.database.close()))
        await self._open()

    async def _end(self) -> None:
        await self._end_all()
        for database in self.databases:
            await until(lambda database=database: database.pool.used == database.pool.pending == 0)  # type: ignore[misc]
        await self._works()
        await asyncio.gather(self.database.close(), *self.closing)
        await until(lambda: self.admin.execute(f"SELECT count(*) {_OTHERS}").fetchall() == [(0,)])
        self._check()

    async def _works(self) -> None:
        for plan in (_ECHO, _INSERT):
            call = await self._start(plan, Pause(0, 0))
            call.is_disturbed = False
            await call.task
            assert call.error is None, call.text

    def _check(self) -> None:
        rows = self.admin.execute("SELECT number FROM written WHERE number >= %s", [self.first]).fetchall()
        found = [number for (number,) in rows]
        known = [call.written() for call in self.calls]
        assert len(found) == len(set(found))
        assert {number for call, _ in known for number in call} <= set(found)
        assert set(found) <= {number for _, call in known for number in call}
        assert not self.errors & {"26000", "42P05"}, "what is prepared was not known"


async def _sleep(pause: Pause) -> None:
    for _ in range(pause.turns):
        await asyncio.sleep(0)
    if pause.milliseconds:
        await asyncio.sleep(pause.milliseconds / 1000)


@pytest.fixture
def admin(empty_database_url: str) -> Iterator["psycopg.Connection[Any]"]:
    parsed = make_url(empty_database_url).set(drivername="postgresql")
    url = parsed.render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE written (number bigint)")
        yield connection


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_whatever_happens_callers_know_what_was_written(
    empty_database_url: str,
    admin: "psycopg.Connection[Any]",
    loop: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation_module, "_MOST_PREPARED", 4)
    chosen = settings(
        max_examples=_EXAMPLES,
        stateful_step_count=25,
        deadline=None,
        phases=[Phase.generate],  # what depends on time does not shrink
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner(loop_factory=loop) as runner_here:

        class Here(Sequence):
            url = empty_database_url
            runner = runner_here

        Here.admin = admin
        run_state_machine_as_test(Here, settings=chosen)
