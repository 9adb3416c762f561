"""Updates of any rows of a table share transactions; each keeps its own outcome and caller."""

import asyncio

import grpc
import pytest

from sprocket.v1.factory_pb2 import Factory, UpdateFactoryRequest
from sprocket_grpc.config.settings import Settings
from tests.services.group_commit.changes import made, rename, started, transactions_of, under_way
from tests.services.group_commit.hot import Waiter
from tests.support.auditing import entries
from tests.support.books import assert_books_agree, query
from tests.support.callers import bearer, create_key
from tests.support.errors import fails
from tests.support.locks import waiting_for
from tests.support.production import get_factory, update_factory, update_sprocket
from tests.support.resources import (
    CASES,
    FACTORY,
    MISSING_ID,
    SPROCKET,
    Case,
    create_sprocket_type,
)
from tests.support.row_locks import Row, row_locked
from tests.support.service import Service, running_service

COUNT = 6


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_updates_that_arrive_during_a_commit_share_the_next_one(
    service: Service, database_url: str, collected: Waiter, case: Case
) -> None:
    first, *others = await made(case, service, 1 + COUNT)
    async with under_way(
        database_url, f"UPDATE ON {case.name} FOR EACH STATEMENT", rename(case, service, first, "first")
    ):
        calls = started([rename(case, service, each, "together") for each in others])
        await collected(COUNT)
    answers = await asyncio.gather(*calls)
    assert answers == [await case.get(service, each.id) for each in others]
    assert [each.display_name for each in answers] == ["together"] * COUNT
    assert await transactions_of(service, case, "together") == [COUNT]


@pytest.mark.usefixtures("patient")
async def test_goals_that_change_together_have_an_entry_in_the_chart_of_each_factory(
    service: Service, database_url: str, collected: Waiter
) -> None:
    first, *others = await made(FACTORY, service, 1 + COUNT)
    change = update_factory(service, first.id, sprocket_production_goal=1)
    async with under_way(database_url, "UPDATE ON factory FOR EACH STATEMENT", change):
        calls = started(
            [update_factory(service, each.id, sprocket_production_goal=goal) for goal, each in enumerate(others, 20)]
        )
        await collected(COUNT)
    assert [each.sprocket_production_goal for each in await asyncio.gather(*calls)] == [*range(20, 20 + COUNT)]
    statement = "SELECT count(*) FROM chart_entry WHERE sprocket_production_goal >= 20 GROUP BY xmin"
    assert [count for (count,) in await query(service, statement)] == [COUNT]
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_the_audit_log_has_the_caller_of_each_update_of_a_group(
    service: Service, database_url: str, collected: Waiter
) -> None:
    rows = await made(FACTORY, service, 1 + COUNT)
    keys = {name: bearer(create_key(database_url, "write", name=name).text) for name in ("one", "other")}

    async def change(at: Service, number: int, name: str) -> None:
        request = UpdateFactoryRequest(factory=Factory(id=rows[number].id, display_name="x"))
        metadata = (*keys[name], ("x-request-id", f"call {number}"))
        await at.factories.UpdateFactory(request, metadata=metadata)

    async with running_service(database_url, Settings(api_keys=True)) as guarded:
        async with under_way(database_url, "UPDATE ON factory FOR EACH STATEMENT", change(guarded, 0, "one")):
            calls = started([change(guarded, number, ("one", "other")[number % 2]) for number in range(1, 1 + COUNT)])
            await collected(COUNT)
        await asyncio.gather(*calls)
    log = {each.resource_id: (each.principal, each.request_id) for each in await entries(service, 'request_id="call*"')}
    names = [("one", "other")[number % 2] for number in range(1 + COUNT)]
    assert log == {row.id: (f"api-key:{names[n]}", f"call {n}") for n, row in enumerate(rows)}


@pytest.mark.usefixtures("patient")
async def test_an_update_that_fails_in_a_group_fails_alone(
    service: Service, database_url: str, collected: Waiter
) -> None:
    first, stale, *others = await made(FACTORY, service, 2 + COUNT)
    etag = stale.etag
    await rename(FACTORY, service, stale, "changed")
    async with under_way(
        database_url, "UPDATE ON factory FOR EACH STATEMENT", rename(FACTORY, service, first, "first")
    ):
        calls = started([rename(FACTORY, service, each, "together", etag=each.etag) for each in others])
        refused = asyncio.ensure_future(rename(FACTORY, service, stale, "refused", etag=etag))
        missing = asyncio.ensure_future(rename(FACTORY, service, Factory(id=MISSING_ID), "missing"))
        await collected(COUNT + 2)
    with fails(grpc.StatusCode.ABORTED) as failure:
        await refused
    assert failure.info.reason == "ERROR_REASON_ETAG_MISMATCH"
    with fails(grpc.StatusCode.NOT_FOUND):
        await missing
    await asyncio.gather(*calls)
    assert (await get_factory(service, stale.id)).display_name == "changed"
    assert await transactions_of(service, FACTORY, "together") == [COUNT]


@pytest.mark.usefixtures("patient")
async def test_of_two_updates_of_a_row_that_expect_the_same_etag_one_is_refused(
    service: Service, database_url: str, collected: Waiter
) -> None:
    first, row = await made(FACTORY, service, 2)
    async with under_way(
        database_url, "UPDATE ON factory FOR EACH STATEMENT", rename(FACTORY, service, first, "first")
    ):
        one, other = started([rename(FACTORY, service, row, name, etag=row.etag) for name in ("one", "other")])
        await collected(2)
    assert (await one).display_name == "one"
    with fails(grpc.StatusCode.ABORTED):
        await other
    assert (await get_factory(service, row.id)).display_name == "one"


@pytest.mark.usefixtures("patient")
async def test_an_update_that_is_cancelled_while_it_waits_has_no_effect(
    service: Service, database_url: str, collected: Waiter
) -> None:
    first, withdrawn, kept = await made(FACTORY, service, 3)
    async with under_way(
        database_url, "UPDATE ON factory FOR EACH STATEMENT", rename(FACTORY, service, first, "first")
    ):
        calls = started([rename(FACTORY, service, each, "new") for each in (withdrawn, kept)])
        await collected(2)
        calls[0].cancel()
        await collected(1)
    assert (await calls[1]).display_name == "new"
    assert (await get_factory(service, withdrawn.id)).display_name == withdrawn.display_name


@pytest.mark.usefixtures("patient")
async def test_a_locked_row_holds_its_own_update_only(service: Service, database_url: str) -> None:
    locked, *others = await made(FACTORY, service, 1 + COUNT)
    async with row_locked(database_url, Row("factory", locked.id), "UPDATE") as blocker:
        waiting = started([rename(FACTORY, service, locked, name) for name in ("one", "other")])
        await waiting_for(blocker)
        await asyncio.gather(*(rename(FACTORY, service, each, "free") for each in others))
        assert not any(call.done() for call in waiting)
    assert {each.display_name for each in await asyncio.gather(*waiting)} == {"one", "other"}


@pytest.mark.usefixtures("patient")
async def test_updates_that_lock_other_rows_too_share_no_transaction(
    service: Service, database_url: str, collected: Waiter
) -> None:
    first, *others = await made(SPROCKET, service, 1 + COUNT)
    kind = await create_sprocket_type(service)
    change = update_sprocket(service, first.id, display_name="first")
    async with under_way(database_url, "UPDATE ON sprocket FOR EACH STATEMENT", change):
        fields = {"display_name": "alone", "sprocket_type_id": kind.id}
        calls = started([update_sprocket(service, each.id, **fields) for each in others])
        await collected(0)
    await asyncio.gather(*calls)
    assert await transactions_of(service, SPROCKET, "alone") == [1] * COUNT
