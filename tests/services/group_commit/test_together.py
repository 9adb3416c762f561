"""Creates in several factories share transactions, and what one of them waits for or does wrong is its own matter."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.services.sprocket_creation import SprocketCreation
from tests.services.group_commit.changes import under_way
from tests.services.group_commit.hot import LOCK_FACTORY, LOCK_TYPE, Call, Hot, Waiter, answers, cancel, hot_factory
from tests.support.auditing import entries
from tests.support.books import assert_books_agree, query
from tests.support.callers import bearer, create_key
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.resources import MISSING_ID
from tests.support.row_locks import gate
from tests.support.service import Service, running_service
from tests.support.statements import statements_of

CREATE = "/sprocket.v1.SprocketService/CreateSprocket"
FACTORIES = 5
PLACE = "INSERT ON sprocket FOR EACH STATEMENT"


@pytest.fixture
async def several(service: Service) -> list[Hot]:
    return [await hot_factory(service) for _ in range(FACTORIES)]


async def first_create(hot: Hot, **options: Any) -> None:
    await hot.create("first", **options)


@asynccontextmanager
async def commit_under_way(service: Service, url: str) -> AsyncIterator[AsyncConnection]:
    """Start a create whose transaction waits until the block ends: the next calls are collected."""
    first = await hot_factory(service)
    async with under_way(url, PLACE, first_create(first)) as blocker:
        yield blocker


def _ids(several: list[Hot]) -> list[str]:
    return [each.factory_id for each in several]


async def transactions_of(service: Service, name: str) -> list[int]:
    """Return the number of sprockets with a name of each transaction."""
    statement = "SELECT count(*) FROM sprocket WHERE display_name = :name GROUP BY xmin ORDER BY 1"
    return [count for (count,) in await query(service, statement, name=name)]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("has_ids", [False, True], ids=["without request ids", "with request ids"])
async def test_creates_in_several_factories_share_a_transaction(
    service: Service, several: list[Hot], database_url: str, collected: Waiter, *, has_ids: bool
) -> None:
    async with commit_under_way(service, database_url):
        calls = [
            each.create("together", request_id=str(uuid.uuid4()) if has_ids else "") for each in several for _ in (1, 2)
        ]
        await collected(2 * FACTORIES)
    made = await answers(calls)
    assert [each.factory_id for each in made] == [each for each in _ids(several) for _ in (1, 2)]
    assert await transactions_of(service, "together") == [2 * FACTORIES]
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_a_group_is_a_statement_for_each_factory(
    service: Service, several: list[Hot], database_url: str, collected: Waiter
) -> None:
    with statements_of(service.database) as sent:
        async with commit_under_way(service, database_url):
            calls = [each.create() for each in several]
            await collected(FACTORIES)
            sent.clear()
        await answers(calls)
    assert len(sent) == FACTORIES + 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("count", [1, 2])
async def test_locked_factories_and_types_do_not_hold_creates_in_others(
    service: Service, several: list[Hot], database_url: str, collected: Waiter, count: int
) -> None:
    *locked, typed, free = several
    async with AsyncExitStack() as stack:
        for each in locked:
            await stack.enter_async_context(open_transaction(database_url, LOCK_FACTORY, id=each.factory_id))
        await stack.enter_async_context(open_transaction(database_url, LOCK_TYPE, id=typed.type_id))
        async with commit_under_way(service, database_url):
            waiting = [each.create("waiting") for each in (*locked, typed) for _ in range(count)]
            other = free.create()
            await collected(len(waiting) + 1)
        await answers([other])
        await answers([free.create() for _ in range(20)])
        assert not any(call.done() for call in waiting)
    await answers(waiting)
    await assert_books_agree(service)


WRONG: dict[str, Callable[[Hot], Call]] = {
    "sprocket.sprocket_type_id": lambda hot: hot.create("wrong", MISSING_ID),
    "sprocket.factory_id": lambda hot: Hot(hot.service, MISSING_ID, hot.type_id).create("wrong"),
}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("has_ids", [False, True], ids=["without request ids", "with request ids"])
@pytest.mark.parametrize("field", WRONG)
async def test_a_wrong_create_fails_alone(
    service: Service, several: list[Hot], database_url: str, collected: Waiter, field: str, *, has_ids: bool
) -> None:
    async with commit_under_way(service, database_url):
        good = [each.create("good", request_id=str(uuid.uuid4()) if has_ids else "") for each in several]
        wrong = WRONG[field](several[2])
        await collected(FACTORIES + 1)
    assert [each.factory_id for each in await answers(good)] == _ids(several)
    with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
        await wrong
    assert failure.info.metadata["fields"] == field
    assert await transactions_of(service, "good") == [FACTORIES]
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_a_cancelled_call_of_a_group_is_dropped_before_it_starts_and_ignored_after(
    service: Service, several: list[Hot], database_url: str, collected: Waiter
) -> None:
    first, *_ = several
    async with commit_under_way(service, database_url) as blocker:
        calls = [each.create("kept") for each in several]
        withdrawn = first.create("withdrawn")
        await collected(FACTORIES + 1)
        await cancel(withdrawn)
        await collected(FACTORIES)
        closed = open_transaction(database_url, "SELECT pg_advisory_xact_lock(1)")
        closing = asyncio.ensure_future(closed.__aenter__())
        await waiting_for(blocker, 2)
    await waiting_for(await closing)  # the group has started
    await cancel(calls.pop())
    await closed.__aexit__(None, None, None)
    await answers(calls)
    assert await transactions_of(service, "kept") == [FACTORIES]
    assert await transactions_of(service, "withdrawn") == []
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_a_retry_in_a_group_returns_the_first_response_and_the_others_are_created(
    service: Service, several: list[Hot], database_url: str, collected: Waiter
) -> None:
    first, *others = several
    request_id = str(uuid.uuid4())
    earlier = await first.create("earlier", request_id=request_id)
    async with commit_under_way(service, database_url):
        repeat = first.create("earlier", request_id=request_id)
        made = [each.create("new", request_id=str(uuid.uuid4())) for each in others]
        await collected(FACTORIES)
    assert await repeat == earlier
    await answers(made)
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_the_audit_log_has_the_caller_of_each_create_of_a_group(
    service: Service, several: list[Hot], database_url: str, collected: Waiter
) -> None:
    keys = {name: bearer(create_key(database_url, "write", name=name).text) for name in ("one", "other")}
    async with running_service(database_url, Settings(api_keys=True)) as guarded:
        blocked = Hot(guarded, several[0].factory_id, several[0].type_id)
        async with under_way(database_url, PLACE, first_create(blocked, metadata=keys["one"])):
            expected: dict[str, str] = {}
            made = {}
            for number in range(3 * FACTORIES):
                name = ("one", "other")[number % 2]
                at = Hot(guarded, several[number % FACTORIES].factory_id, several[0].type_id)
                made[at.create(f"call {number}", metadata=keys[name])] = f"api-key:{name}"
            await collected(3 * FACTORIES)
        expected = {(await call).id: principal for call, principal in made.items()}
    log = {each.resource_id: each.principal for each in await entries(service, f'method = "{CREATE}"')}
    assert {identifier: log[identifier] for identifier in expected} == expected


@pytest.mark.usefixtures("patient")
async def test_a_group_that_loses_its_connection_is_unavailable_and_the_next_call_works(
    service: Service, several: list[Hot], database_url: str, creations: list[SprocketCreation]
) -> None:
    async with gate(database_url, PLACE) as transaction:
        call = several[0].create()
        await transaction.execute(
            text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) AS pid"),
            {"pids": await waiting_for(transaction)},
        )
        with fails(grpc.StatusCode.UNAVAILABLE):
            await call
    await several[0].create()
    assert not any(each._writes._group.is_busy(None) for each in creations)
    await assert_books_agree(service)


async def test_many_creates_in_few_factories_on_two_servers_all_succeed(
    service: Service, several: list[Hot], database_url: str
) -> None:
    async with running_service(database_url) as other:
        calls = [
            Hot(at, each.factory_id, each.type_id).create(request_id=str(uuid.uuid4()) if number % 3 == 0 else "")
            for number in range(20)
            for each in several
            for at in (service, other)
        ]
        made = await answers(calls)
    assert len({each.id for each in made}) == 2 * 20 * FACTORIES
    await asyncio.sleep(0)
    await assert_books_agree(service)
