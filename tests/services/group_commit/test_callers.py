"""Creates that share a transaction have their own callers in the audit log, and their own request ids."""

import uuid

import grpc
import pytest

from sprocket_grpc.config.settings import Settings
from tests.conformance.promises import invalid
from tests.services.group_commit.hot import Hot, Waiter, answers, busy
from tests.support.auditing import entries
from tests.support.books import assert_books_agree
from tests.support.callers import bearer, create_key
from tests.support.errors import fails
from tests.support.resources import MISSING_ID
from tests.support.service import running_service

CREATE = "/sprocket.v1.SprocketService/CreateSprocket"


# Callers.


@pytest.mark.parametrize("has_ids", [False, True])
@pytest.mark.parametrize("count", [1, 6])
async def test_the_audit_log_has_the_caller_of_each_sprocket(
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


# Request ids.


async def test_pending_calls_with_the_same_request_id_take_effect_once(
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


async def test_of_two_different_pending_requests_with_one_request_id_the_second_is_refused(
    hot: Hot, database_url: str, collected: Waiter
) -> None:
    request_id = str(uuid.uuid4())
    async with busy(hot, database_url):
        one, other = hot.create("one", request_id=request_id), hot.create("other", request_id=request_id)
        await collected(2)
    assert (await one).display_name == "one"
    assert await invalid(other, "ERROR_REASON_REQUEST_ID_REUSED") == ["request_id"]
    assert await hot.names() == ["first", "one"]


async def test_a_request_id_can_be_used_again_after_its_request_failed_in_a_batch(
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


async def test_a_retry_in_a_batch_returns_the_first_response(hot: Hot, database_url: str, collected: Waiter) -> None:
    request_id = str(uuid.uuid4())
    earlier = await hot.create("earlier", request_id=request_id)
    async with busy(hot, database_url):
        repeat, reused = hot.create("earlier", request_id=request_id), hot.create("x", request_id=str(uuid.uuid4()))
        await collected(2)
    assert await repeat == earlier
    await reused
    assert await hot.names() == ["earlier", "first", "x"]
    await assert_books_agree(hot.service)
