"""Concurrent creates of sprockets in one factory share transactions, and a failed create does not affect the others."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import pytest

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.services.sprocket_creation import SprocketCreation
from tests.services.group_commit.hot import Hot, Waiter, answers, batch_under_way, busy, held_up, hot_factory
from tests.support.books import assert_books_agree, numbers_of, query
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.production import get_factory
from tests.support.resources import MISSING_ID, create_sprocket_type
from tests.support.service import running_service
from tests.support.statements import statements_of

# Concurrent calls.


async def test_64_concurrent_calls_get_their_own_sprockets_and_entries_in_fewer_transactions(hot: Hot) -> None:
    made = await answers([hot.create(f"{number:02}") for number in range(64)])
    assert [each.display_name for each in made] == [f"{number:02}" for number in range(64)]
    assert len({each.id for each in made}) == 64
    assert (await get_factory(hot.service, hot.factory_id)).sprocket_production_actual == 64
    assert await numbers_of(hot.service, hot.factory_id) == [(10, number) for number in range(65)]
    await assert_books_agree(hot.service)
    assert len(await hot.commits()) < 64


async def test_calls_that_arrive_during_a_transaction_share_the_next_one(
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


async def test_the_size_of_a_batch_is_limited(
    hot: Hot, database_url: str, collected: Waiter, creations: list[SprocketCreation]
) -> None:
    for each in creations:
        each._factories._largest_batch = 3
    async with busy(hot, database_url) as first:
        others = [hot.create() for _ in range(7)]
        await collected(7)
    await answers([first, *others])
    assert await hot.commits() == [1, 1, 3, 3]
    await assert_books_agree(hot.service)


async def test_counter_and_chart_are_consistent_if_two_servers_create_sprockets_of_one_factory(
    hot: Hot, database_url: str
) -> None:
    async with running_service(database_url) as other:
        elsewhere = Hot(other, hot.factory_id, hot.type_id)
        calls = [
            at.create(type_id=type_id) for _ in range(50) for at in (hot, elsewhere) for type_id in ("", MISSING_ID)
        ]
        await asyncio.wait(calls)
    assert Counter(type(call.exception()) for call in calls) == {type(None): 100, grpc.aio.AioRpcError: 100}
    assert await numbers_of(hot.service, hot.factory_id) == [(10, number) for number in range(101)]
    await assert_books_agree(hot.service)


async def test_a_single_create_and_a_batch_are_one_statement_each(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    with statements_of(hot.service.database) as of_one:
        await hot.create()
    assert len([each for each in of_one if "INSERT" in each.text]) == 1
    with statements_of(hot.service.database) as of_batch:
        async with busy(hot, database_url) as first:
            others = [hot.create() for _ in range(5)]
            await collected(5)
            of_batch.clear()
        await answers([first, *others])
    assert len(of_batch) == 1


# Failures of some calls.


@pytest.mark.parametrize("count", [1, 2, 20])
async def test_a_missing_type_fails_its_own_call_only(
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


async def test_a_batch_with_only_missing_types_adds_no_chart_entry(
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


async def test_a_type_deleted_during_the_batch_fails_its_own_calls_only(
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


async def test_a_factory_deleted_during_the_batch_fails_all_its_calls(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    delete = "DELETE FROM factory WHERE id = :id"
    async with open_transaction(database_url, delete, id=hot.factory_id) as deletion:
        calls = [hot.create()]
        await held_up(hot)
        await waiting_for(deletion)
        calls += [hot.create(), hot.create(type_id=MISSING_ID)]
        await collected(2)
        await deletion.commit()
    for call, fields in zip(calls, ["factory_id", "factory_id", "factory_id,sprocket.sprocket_type_id"], strict=True):
        with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
            await call
        assert failure.info.metadata["fields"] == f"sprocket.{fields}"
    assert await hot.names() == []


async def test_a_lost_connection_fails_all_calls_of_the_batch_but_no_later_call(
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


# Other factories.


async def test_a_busy_factory_uses_one_connection_and_does_not_delay_other_factories(
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
