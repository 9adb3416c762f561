"""Deletions of sprockets share transactions; each keeps its own outcome, chart entry and caller."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import grpc
import pytest

from sprocket.v1.sprocket_pb2 import DeleteSprocketRequest, Sprocket
from tests.services.group_commit.changes import started, under_way
from tests.services.group_commit.hot import Waiter
from tests.support.auditing import call_as, entries
from tests.support.books import assert_books_agree, query
from tests.support.errors import fails
from tests.support.locks import waiting_for
from tests.support.production import delete_sprocket, update_factory, update_sprocket
from tests.support.resources import create_factory, create_sprocket, create_sprocket_type
from tests.support.row_locks import Row, gate, row_locked
from tests.support.service import Service, running_service

COUNT = 6


class World(NamedTuple):
    """Sprockets in two factories."""

    first: Sprocket
    others: list[Sprocket]


@pytest.fixture
async def world(service: Service) -> World:
    kind = await create_sprocket_type(service)
    factories = [await create_factory(service) for _ in range(2)]
    first, *others = [
        await create_sprocket(service, factory_id=factories[number % 2].id, sprocket_type_id=kind.id)
        for number in range(1 + COUNT)
    ]
    return World(first, others)


async def actuals_of(service: Service) -> list[list[int]]:
    """Return the actuals in the entries that each transaction added to charts for deletions."""
    statement = """
        SELECT array_agg(sprocket_production_actual ORDER BY sequence) FROM chart_entry AS entry
        WHERE sprocket_production_actual < (SELECT sprocket_production_actual FROM chart_entry AS before
              WHERE before.factory_id = entry.factory_id AND before.sequence = entry.sequence - 1)
        GROUP BY CAST(xmin AS text), factory_id ORDER BY 1
    """
    return [list(actuals) for (actuals,) in await query(service, statement)]


@pytest.mark.usefixtures("patient")
async def test_deletions_that_arrive_during_a_commit_share_the_next_one_with_an_entry_for_each(
    service: Service, database_url: str, collected: Waiter, world: World
) -> None:
    async with under_way(
        database_url, "DELETE ON sprocket FOR EACH STATEMENT", delete_sprocket(service, world.first.id)
    ):
        calls = started([delete_sprocket(service, each.id) for each in world.others])
        await collected(COUNT)
    await asyncio.gather(*calls)
    assert await query(service, "SELECT id FROM sprocket") == []
    assert await actuals_of(service) == [[2, 1, 0], [2, 1, 0], [3]]
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_the_audit_log_has_the_caller_of_each_deletion_of_a_group(
    service: Service, database_url: str, collected: Waiter, world: World
) -> None:
    def deletion(number: int, sprocket: Sprocket) -> Awaitable[bytes]:
        path = "/sprocket.v1.SprocketService/DeleteSprocket"
        return call_as(service, f"call {number}", path, DeleteSprocketRequest(id=sprocket.id))

    async with under_way(database_url, "DELETE ON sprocket FOR EACH STATEMENT", deletion(0, world.first)):
        calls = started([deletion(number, each) for number, each in enumerate(world.others, 1)])
        await collected(COUNT)
    await asyncio.gather(*calls)
    log = {each.resource_id: each.request_id for each in await entries(service, 'request_id="call*"')}
    assert log == {each.id: f"call {number}" for number, each in enumerate([world.first, *world.others])}


@pytest.mark.usefixtures("patient")
async def test_a_sprocket_that_is_deleted_twice_in_a_group_is_not_found_the_second_time(
    service: Service, database_url: str, collected: Waiter, world: World
) -> None:
    async with under_way(
        database_url, "DELETE ON sprocket FOR EACH STATEMENT", delete_sprocket(service, world.first.id)
    ):
        one, other, third = started(
            [delete_sprocket(service, each.id) for each in (world.others[0], world.others[0], world.others[1])]
        )
        await collected(3)
    await one
    await third
    with fails(grpc.StatusCode.NOT_FOUND):
        await other
    await assert_books_agree(service)


Locked = Callable[[Sprocket], Row]
LOCKED: dict[str, Locked] = {
    "sprocket": lambda each: Row("sprocket", each.id),
    "factory": lambda each: Row("factory", each.factory_id),
}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("locked", LOCKED.values(), ids=LOCKED)
async def test_a_locked_row_holds_the_deletions_that_need_it_only(
    service: Service, database_url: str, world: World, locked: Locked
) -> None:
    sprocket = world.first
    free = [each for each in world.others if each.factory_id != sprocket.factory_id]
    async with row_locked(database_url, locked(sprocket), "UPDATE") as blocker:
        waiting = asyncio.ensure_future(delete_sprocket(service, sprocket.id))
        await waiting_for(blocker)
        await asyncio.gather(*(delete_sprocket(service, each.id) for each in free))
        assert not waiting.done()
    await waiting
    await assert_books_agree(service)


async def test_a_deletion_counts_the_factory_to_which_a_sprocket_was_moved_meanwhile(
    service: Service, database_url: str, world: World
) -> None:
    sprocket, other = world.first, await create_factory(service)
    async with gate(database_url, "UPDATE ON sprocket FOR EACH STATEMENT") as blocker:
        move = asyncio.ensure_future(update_sprocket(service, sprocket.id, factory_id=other.id))
        await waiting_for(blocker)
        deletion = asyncio.ensure_future(delete_sprocket(service, sprocket.id))
        await waiting_for(blocker, 2)
        await blocker.rollback()
    await move
    await deletion
    await assert_books_agree(service)


async def test_changes_and_creations_in_few_factories_on_two_servers_all_succeed(
    service: Service, database_url: str, world: World
) -> None:
    async with running_service(database_url) as other:
        at = (service, other)
        template = {"factory_id": world.first.factory_id, "sprocket_type_id": world.first.sprocket_type_id}
        calls = [
            *(delete_sprocket(at[number % 2], each.id) for number, each in enumerate(world.others)),
            *(create_sprocket(at[number % 2], **template) for number in range(30)),
            *(
                update_factory(at[number % 2], world.first.factory_id, sprocket_production_goal=number)
                for number in range(30)
            ),
            *(update_sprocket(at[number % 2], world.first.id, display_name=str(number)) for number in range(30)),
        ]
        await asyncio.gather(*calls)
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_creates_updates_and_deletions_in_one_factory_share_a_transaction(
    service: Service, database_url: str, collected: Waiter, world: World
) -> None:
    deleted, renamed, *_ = world.others
    factory_id = deleted.factory_id
    async with under_way(
        database_url, "DELETE ON sprocket FOR EACH STATEMENT", delete_sprocket(service, world.first.id)
    ):
        calls = started(
            [
                create_sprocket(service, factory_id=factory_id, sprocket_type_id=deleted.sprocket_type_id),
                update_factory(service, factory_id, sprocket_production_goal=77),
                update_sprocket(service, renamed.id, display_name="new"),
                delete_sprocket(service, deleted.id),
            ]
        )
        await collected(len(calls))
    created, changed, *_ = await asyncio.gather(*calls)
    assert changed.sprocket_production_goal == 77
    written = """
        SELECT DISTINCT CAST(xmin AS text) FROM sprocket WHERE id = ANY (CAST(:ids AS uuid[]))
        UNION SELECT CAST(xmin AS text) FROM chart_entry
              WHERE factory_id = :factory_id AND sprocket_production_goal = 77
    """
    assert len(await query(service, written, ids=[created.id, renamed.id], factory_id=factory_id)) == 1
    await assert_books_agree(service)


@pytest.mark.usefixtures("patient")
async def test_an_update_and_a_deletion_of_a_sprocket_take_effect_one_after_the_other(
    service: Service, database_url: str, collected: Waiter, world: World
) -> None:
    sprocket = world.others[0]
    async with under_way(
        database_url, "DELETE ON sprocket FOR EACH STATEMENT", delete_sprocket(service, world.first.id)
    ):
        deletion = asyncio.ensure_future(delete_sprocket(service, sprocket.id))
        await collected(1)
        update = asyncio.ensure_future(update_sprocket(service, sprocket.id, display_name="late"))
        await collected(2)
    await deletion
    with fails(grpc.StatusCode.NOT_FOUND):
        await update
    await assert_books_agree(service)
