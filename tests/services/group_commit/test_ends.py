"""Creates that share a transaction and are cancelled or exceed their deadline."""

import grpc
import pytest

from tests.services.group_commit.hot import Hot, Waiter, answers, batch_under_way, busy, cancel
from tests.support.books import assert_books_agree, query
from tests.support.service import Service
from tests.support.waiting import until


async def blocked(service: Service, beginning: str) -> bool:
    """Whether a statement of the service with this beginning waits for a lock."""
    statement = """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND starts_with(query, :beginning)
    """
    return bool(await query(service, statement, beginning=beginning))


async def not_blocked(service: Service, beginning: str) -> bool:
    return not await blocked(service, beginning)


async def test_a_call_cancelled_before_its_batch_starts_has_no_effect(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        others = [hot.create(str(number)) for number in range(5)]
        await collected(5)
        await cancel(others.pop(2))
        await collected(4)
    await answers([first, *others])
    assert await hot.names() == ["0", "1", "3", "4", "first"]
    await assert_books_agree(hot.service)


async def test_a_call_whose_deadline_passes_before_its_batch_starts_has_no_effect(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        late, other = hot.create("late", timeout=1), hot.create("other")
        await collected(2)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await late
        await collected(1)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await answers([first, other])
    assert await hot.names() == ["first", "other"]
    await assert_books_agree(hot.service)


async def test_later_calls_succeed_after_all_pending_calls_are_cancelled(
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


async def test_cancelling_the_running_call_does_not_cancel_pending_calls(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with busy(hot, database_url) as first:
        others = [hot.create(str(number)) for number in range(3)]
        await collected(3)
        await cancel(first)
        await until(lambda: blocked(hot.service, "WITH locked"))
        await until(lambda: not_blocked(hot.service, "WITH counted"))  # the first one is rolled back
    await answers(others)
    assert await hot.names() == ["0", "1", "2"]
    await assert_books_agree(hot.service)


async def test_cancelling_one_call_of_a_running_batch_does_not_stop_the_others(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with batch_under_way(hot, database_url, collected, 3) as batch:
        await cancel(batch[0])
        await collected(2)
    assert [each.display_name for each in await answers(batch[1:])] == ["1", "2"]
    assert await hot.names() == ["0", "1", "2", "first"]
    await assert_books_agree(hot.service)


async def test_a_running_batch_is_cancelled_when_all_its_calls_are_cancelled(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    async with batch_under_way(hot, database_url, collected, 3) as batch:
        await cancel(*batch)
        await until(lambda: not_blocked(hot.service, ""))  # while the lock that it waited for is still held
        await hot.create("next")
    assert await hot.names() == ["first", "next"]
    await assert_books_agree(hot.service)
