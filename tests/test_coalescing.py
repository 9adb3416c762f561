"""Creates of sprockets for one factory at once share commits, and none of them notices."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import pytest
from sqlalchemy import event

from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket_grpc.services import coalescing
from sprocket_grpc.services.coalescing import Coalescing
from sprocket_grpc.settings import Settings
from tests.auditing import entries
from tests.books import assert_books_agree, numbers_of, query
from tests.callers import bearer, create_key
from tests.conformance.promises import invalid
from tests.errors import fails
from tests.locks import open_transaction, waiting_for
from tests.production import get_factory
from tests.resources import MISSING_ID, create_factory, create_sprocket_type
from tests.service import Service, running_service

CREATE = "/sprocket.v1.SprocketService/CreateSprocket"
LOCK_FACTORY = "SELECT FROM factory WHERE id = :id FOR NO KEY UPDATE"
LOCK_TYPE = "SELECT FROM sprocket_type WHERE id = :id FOR UPDATE"

Call: TypeAlias = "asyncio.Task[Sprocket]"
Waiter: TypeAlias = Callable[[int], Awaitable[None]]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Waiter:
    """Waits until exactly so many calls wait for others, collected or in a batch."""
    waiting, wait = 0, Coalescing._wait

    async def counted(self: Coalescing[Any, Any], key: Any, item: Any) -> None:
        nonlocal waiting
        waiting += 1
        try:
            await wait(self, key, item)
        finally:
            waiting -= 1

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while waiting != count:  # noqa: ASYNC110  # there is no event
                await asyncio.sleep(0.005)

    monkeypatch.setattr(Coalescing, "_wait", counted)
    return until


@dataclass(frozen=True)
class Hot:
    """A factory that gets many sprockets at once.

    Attributes:
        service: Who makes them.
        factory_id: The factory.
        type_id: The type of the sprockets, if no other is named.
    """

    service: Service
    factory_id: str
    type_id: str

    def create(self, name: str = "", type_id: str = "", request_id: str = "", **options: Any) -> Call:
        """Begin to create a sprocket."""
        sprocket = Sprocket(display_name=name, factory_id=self.factory_id, sprocket_type_id=type_id or self.type_id)
        request = CreateSprocketRequest(sprocket=sprocket, request_id=request_id)

        async def call() -> Sprocket:
            return (await self.service.sprockets.CreateSprocket(request, **options)).sprocket

        return asyncio.create_task(call())

    async def names(self) -> list[str]:
        """Return the names of the sprockets that are there."""
        statement = "SELECT display_name FROM sprocket WHERE factory_id = :id ORDER BY display_name"
        return [name for (name,) in await query(self.service, statement, id=self.factory_id)]

    async def commits(self) -> list[int]:
        """Return how many sprockets each transaction made."""
        statement = "SELECT count(*) FROM sprocket WHERE factory_id = :id GROUP BY xmin ORDER BY 1"
        return [count for (count,) in await query(self.service, statement, id=self.factory_id)]


@pytest.fixture
async def hot(service: Service) -> Hot:
    return await hot_factory(service)


async def hot_factory(service: Service) -> Hot:
    return Hot(service, (await create_factory(service)).id, (await create_sprocket_type(service)).id)


@asynccontextmanager
async def busy(hot: Hot, url: str, **options: Any) -> AsyncIterator[Call]:
    """Keep the factory's first creation, called `first`, under way until the block ends."""
    async with open_transaction(url, LOCK_FACTORY, id=hot.factory_id) as transaction:
        first = hot.create("first", **options)
        await waiting_for(transaction)
        yield first


@asynccontextmanager
async def batch_under_way(hot: Hot, url: str, collected: Waiter, calls: int) -> AsyncIterator[list[Call]]:
    """Keep a batch of calls, called `0` and so on, under way until the block ends."""
    kind = await create_sprocket_type(hot.service)
    async with open_transaction(url, LOCK_TYPE, id=kind.id) as transaction:
        async with busy(hot, url) as first:
            batch = [hot.create(str(number), kind.id) for number in range(calls)]
            await collected(calls)
        await first
        await waiting_for(transaction)
        yield batch


async def blocked(service: Service, beginning: str) -> bool:
    """Whether a statement of the service that begins so waits for a lock."""
    statement = """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND starts_with(query, :beginning)
    """
    return bool(await query(service, statement, beginning=beginning))


async def nothing_blocked(service: Service) -> bool:
    return not await blocked(service, "")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)


async def cancel(*calls: Call) -> None:
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)


async def answers(calls: Sequence[Call]) -> list[Sprocket]:
    return list(await asyncio.gather(*calls))


# All at once.


async def test_sixty_four_at_once_each_get_their_own_sprocket_and_entry_in_few_commits(hot: Hot) -> None:
    made = await answers([hot.create(f"{number:02}") for number in range(64)])
    assert [each.display_name for each in made] == [f"{number:02}" for number in range(64)]
    assert len({each.id for each in made}) == 64
    assert (await get_factory(hot.service, hot.factory_id)).sprocket_production_actual == 64
    assert await numbers_of(hot.service, hot.factory_id) == [(10, number) for number in range(65)]
    await assert_books_agree(hot.service)
    assert len(await hot.commits()) < 64


async def test_what_collects_while_a_commit_is_under_way_goes_with_the_next(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        others = [hot.create(f"{number:02}") for number in range(40)]
        await collected(40)
    made = await answers([first, *others])
    assert [each.display_name for each in made] == ["first", *(f"{number:02}" for number in range(40))]
    assert await hot.commits() == [1, 40]
    assert await numbers_of(hot.service, hot.factory_id) == [(10, number) for number in range(42)]
    await assert_books_agree(hot.service)


async def test_a_batch_is_bounded(
    hot: Hot, database_url: str, collected: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "LARGEST_BATCH", 3)
    async with busy(hot, database_url) as first:
        others = [hot.create() for _ in range(7)]
        await collected(7)
    await answers([first, *others])
    assert await hot.commits() == [1, 1, 3, 3]
    await assert_books_agree(hot.service)


async def test_the_books_agree_when_two_servers_make_sprockets_of_one_factory(hot: Hot, database_url: str) -> None:
    async with running_service(database_url) as other:
        elsewhere = Hot(other, hot.factory_id, hot.type_id)
        calls = [
            at.create(type_id=type_id) for _ in range(50) for at in (hot, elsewhere) for type_id in ("", MISSING_ID)
        ]
        await asyncio.wait(calls)
    assert Counter(type(call.exception()) for call in calls) == {type(None): 100, grpc.aio.AioRpcError: 100}
    assert await numbers_of(hot.service, hot.factory_id) == [(10, number) for number in range(101)]
    await assert_books_agree(hot.service)


async def test_a_creation_alone_is_one_statement_and_so_is_a_batch(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    statements: list[str] = []
    engine = hot.service.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *parts: statements.append(parts[2]))
    async with busy(hot, database_url) as first:
        others = [hot.create() for _ in range(5)]
        await collected(5)
    await answers([first, *others])
    assert len(statements) == 2


# One among others.


@pytest.mark.parametrize("count", [1, 2, 20])
async def test_a_type_that_does_not_exist_fails_its_own_call_only(
    hot: Hot, database_url: str, collected: Waiter, count: int
) -> None:
    async with busy(hot, database_url):
        good = [hot.create(f"good {number:02}") for number in range(10)]
        bad = [hot.create("bad", MISSING_ID) for _ in range(count)]
        await collected(10 + count)
    assert [each.display_name for each in await answers(good)] == [f"good {number:02}" for number in range(10)]
    for call in bad:
        with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
            await call
        assert failure.info.metadata["fields"] == "sprocket.sprocket_type_id"
    assert await hot.commits() == [1, 10]
    await assert_books_agree(hot.service)


async def test_where_all_refer_to_nothing_the_chart_has_no_entry(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        bad = [hot.create("bad", MISSING_ID) for _ in range(3)]
        await collected(3)
    await asyncio.wait([first, *bad])
    assert await numbers_of(hot.service, hot.factory_id) == [(10, 0), (10, 1)]
    [(untouched,)] = await query(
        hot.service,
        "SELECT f.xmin = sprocket.xmin FROM factory AS f JOIN sprocket ON factory_id = f.id WHERE f.id = :id",
        id=hot.factory_id,
    )
    assert untouched
    await assert_books_agree(hot.service)


async def test_a_type_deleted_meanwhile_fails_its_own_calls_only(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    kind = await create_sprocket_type(hot.service)
    async with AsyncExitStack() as stack:
        delete = "DELETE FROM sprocket_type WHERE id = :id"
        deletion = await stack.enter_async_context(open_transaction(database_url, delete, id=kind.id))
        async with busy(hot, database_url) as first:
            good, bad = hot.create("good"), hot.create("bad", kind.id)
            await collected(2)
        await first
        await waiting_for(deletion)
        await deletion.commit()
        assert (await good).display_name == "good"
        with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
            await bad
        assert failure.info.metadata["fields"] == "sprocket.sprocket_type_id"
    await assert_books_agree(hot.service)


async def test_a_factory_deleted_meanwhile_fails_all_its_calls(hot: Hot, database_url: str, collected: Waiter) -> None:
    delete = "DELETE FROM factory WHERE id = :id"
    async with open_transaction(database_url, delete, id=hot.factory_id) as deletion:
        calls = [hot.create()]
        await waiting_for(deletion)
        calls += [hot.create(), hot.create(type_id=MISSING_ID)]
        await collected(2)
        await deletion.commit()
    for call, fields in zip(calls, ["factory_id", "factory_id", "factory_id,sprocket.sprocket_type_id"], strict=True):
        with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
            await call
        assert failure.info.metadata["fields"] == f"sprocket.{fields}"
    assert await hot.names() == []


async def test_a_batch_that_is_lost_with_its_connection_fails_each_call_and_the_next_goes_on(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with batch_under_way(hot, database_url, collected, 3) as batch:
        await query(
            hot.service,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        for call in batch:
            with fails(grpc.StatusCode.UNAVAILABLE):
                await call
    assert await hot.names() == ["first"]
    await hot.create("next")
    await assert_books_agree(hot.service)


# Calls that end before their time.


async def test_a_call_cancelled_while_it_collects_has_no_effect(hot: Hot, database_url: str, collected: Waiter) -> None:
    async with busy(hot, database_url) as first:
        others = [hot.create(str(number)) for number in range(5)]
        await collected(5)
        await cancel(others.pop(2))
        await collected(4)
    await answers([first, *others])
    assert await hot.names() == ["0", "1", "3", "4", "first"]
    await assert_books_agree(hot.service)


async def test_a_deadline_that_passes_while_a_call_collects_leaves_no_trace(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        late, other = hot.create("late", timeout=0.3), hot.create("other")
        await collected(2)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await late
        await collected(1)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await answers([first, other])
    assert await hot.names() == ["first", "other"]
    await assert_books_agree(hot.service)


async def test_calls_that_all_go_while_they_collect_leave_nothing_behind(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        others = [hot.create() for _ in range(3)]
        await collected(3)
        await cancel(*others)
        await collected(0)
    await first
    await hot.create("next")
    assert await hot.names() == ["first", "next"]


async def test_a_first_call_that_is_cancelled_does_not_take_the_others_along(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        others = [hot.create(str(number)) for number in range(3)]
        await collected(3)
        await cancel(first)
        await until(lambda: blocked(hot.service, "WITH locked"))
    await answers(others)
    assert await hot.names() == ["0", "1", "2"]
    await assert_books_agree(hot.service)


async def test_a_call_that_is_cancelled_while_its_batch_is_under_way_does_not_stop_the_others(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with batch_under_way(hot, database_url, collected, 3) as batch:
        await cancel(batch[0])
        await collected(2)
    assert [each.display_name for each in await answers(batch[1:])] == ["1", "2"]
    assert await hot.names() == ["0", "1", "2", "first"]
    await assert_books_agree(hot.service)


async def test_a_batch_is_stopped_when_all_its_calls_have_gone(hot: Hot, database_url: str, collected: Waiter) -> None:
    async with batch_under_way(hot, database_url, collected, 3) as batch:
        await cancel(*batch)
        await until(lambda: nothing_blocked(hot.service))  # while what it waited for is still locked
        await hot.create("next")
    assert await hot.names() == ["first", "next"]
    await assert_books_agree(hot.service)


# Other factories.


async def test_a_busy_factory_holds_one_connection_and_no_other_factory_up(
    database_url: str, collected: Waiter
) -> None:
    async with running_service(database_url, Settings(pool_size=2, pool_timeout_seconds=0.5)) as service:
        hot, other = await hot_factory(service), await hot_factory(service)
        async with busy(hot, database_url) as first:
            waiting = [hot.create() for _ in range(20)]
            await collected(20)
            await answers([other.create() for _ in range(20)])
            await asyncio.sleep(0.6)  # longer than a call waits for a connection
        await answers([first, *waiting])
        await assert_books_agree(service)


# In whose name.


@pytest.mark.parametrize("has_ids", [False, True])
@pytest.mark.parametrize("count", [1, 6])
async def test_each_sprocket_is_logged_in_the_name_of_its_own_call(
    hot: Hot, database_url: str, collected: Waiter, count: int, *, has_ids: bool
) -> None:
    keys = {name: bearer(create_key(database_url, "write", name=name).text) for name in ("one", "other")}
    async with running_service(database_url, Settings(api_keys=True)) as guarded:
        behind, calls = Hot(guarded, hot.factory_id, hot.type_id), {}
        async with busy(behind, database_url, metadata=keys["one"]) as first:
            for number in range(count):
                name = ("one", "other")[number % 2]
                names = (f"api-key:{name}", f"call {number}", CREATE)
                request_id = str(uuid.uuid4()) if has_ids else ""
                metadata = (*keys[name], ("x-request-id", f"call {number}"))
                calls[names] = behind.create(request_id=request_id, metadata=metadata)
            await collected(count)
        expected = {each.id: names for names, each in zip(calls, await answers(list(calls.values())), strict=True)}
        await first
    log = await entries(hot.service, 'request_id = "call*"')
    assert {each.resource_id: (each.principal, each.request_id, each.method) for each in log} == expected
    assert await hot.commits() == [1, count]


# Requests with an id.


async def test_an_id_sent_twice_while_both_collect_takes_effect_once(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    request_id = str(uuid.uuid4())
    async with busy(hot, database_url):
        twice = [hot.create("twice", request_id=request_id) for _ in range(5)]
        others = [hot.create("other", request_id=str(uuid.uuid4())) for _ in range(5)]
        await collected(10)
    made = await answers(twice)
    assert made == [made[0]] * 5
    await answers(others)
    assert await hot.names() == ["first", *["other"] * 5, "twice"]
    assert await hot.commits() == [1, 6]
    await assert_books_agree(hot.service)


async def test_of_two_bodies_that_collect_under_one_id_the_second_is_refused(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    request_id = str(uuid.uuid4())
    async with busy(hot, database_url):
        one, other = hot.create("one", request_id=request_id), hot.create("other", request_id=request_id)
        await collected(2)
    assert (await one).display_name == "one"
    assert await invalid(other, "ERROR_REASON_REQUEST_ID_REUSED") == ["request_id"]
    assert await hot.names() == ["first", "one"]


async def test_an_id_whose_request_failed_among_others_can_be_used_again(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    request_id = str(uuid.uuid4())
    async with busy(hot, database_url):
        bad, good = hot.create("bad", MISSING_ID, request_id), hot.create("good", request_id=str(uuid.uuid4()))
        await collected(2)
    with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
        await bad
    assert failure.info.metadata["fields"] == "sprocket.sprocket_type_id"
    await good
    again = await hot.create("again", request_id=request_id)
    assert await hot.create("again", request_id=request_id) == again
    assert await hot.names() == ["again", "first", "good"]
    await assert_books_agree(hot.service)


async def test_a_repeat_among_others_is_answered_as_the_first_time(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    request_id = str(uuid.uuid4())
    earlier = await hot.create("earlier", request_id=request_id)
    async with busy(hot, database_url):
        repeat, reused = hot.create("earlier", request_id=request_id), hot.create("x", request_id=str(uuid.uuid4()))
        await collected(2)
    assert await repeat == earlier
    await reused
    assert await hot.names() == ["earlier", "first", "x"]
    await assert_books_agree(hot.service)
