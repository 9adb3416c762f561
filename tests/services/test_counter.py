"""The counter of a factory equals the number of its sprockets and the last chart entry, under concurrent changes."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

import grpc
import pytest
from sqlalchemy import make_url

from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket_grpc.testing.postgres import execute
from tests.support.books import assert_books_agree, numbers_of, query
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.production import delete_factory, delete_sprocket, get_factory, update_factory, update_sprocket
from tests.support.resources import MISSING_ID, create_factory, create_sprocket, create_sprocket_type
from tests.support.service import Service, running_service

OK = grpc.StatusCode.OK
NOT_FOUND = grpc.StatusCode.NOT_FOUND
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ABORTED = grpc.StatusCode.ABORTED

T = TypeVar("T")


async def code_of(call: Awaitable[object]) -> grpc.StatusCode:
    """Return the status of a call."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return OK


async def codes_of(calls: Iterable[Awaitable[object]]) -> list[grpc.StatusCode]:
    """Make concurrent calls, and return the status of each."""
    return list(await asyncio.gather(*map(code_of, calls)))


async def create_sprockets(service: Service, factory_id: str, count: int) -> list[Sprocket]:
    """Create sprockets of one type in a factory, concurrently."""
    type_id = (await create_sprocket_type(service)).id
    calls = (create_sprocket(service, factory_id=factory_id, sprocket_type_id=type_id) for _ in range(count))
    return await asyncio.gather(*calls)


async def actual_of(service: Service, factory_id: str) -> int:
    return (await get_factory(service, factory_id)).sprocket_production_actual


def any_of(choices: Sequence[T]) -> T:
    return random.choice(choices)  # noqa: S311  # pytest-randomly sets the seed and prints it


class Traffic:
    """Random calls for a few factories and their sprockets; the server has to refuse some of them."""

    def __init__(self, service: Service, factory_ids: list[str], type_id: str) -> None:
        self.service = service
        self.factory_ids = factory_ids
        self.targets = [*factory_ids, MISSING_ID]
        self.type_ids = [type_id, type_id, type_id, MISSING_ID]
        self.sprocket_ids = [MISSING_ID]  # and all ids that were ever created
        self.alive = 0

    async def create(self) -> None:
        keys = {"factory_id": any_of(self.targets), "sprocket_type_id": any_of(self.type_ids)}
        self.sprocket_ids.append((await create_sprocket(self.service, **keys)).id)
        self.alive += 1

    async def delete(self) -> None:
        await delete_sprocket(self.service, any_of(self.sprocket_ids))
        self.alive -= 1

    async def move(self) -> None:
        await update_sprocket(self.service, any_of(self.sprocket_ids), factory_id=any_of(self.targets))

    async def rename(self) -> None:
        await update_sprocket(self.service, any_of(self.sprocket_ids), display_name="Other")

    async def change_goal(self) -> None:
        await update_factory(self.service, any_of(self.factory_ids), sprocket_production_goal=any_of(range(3)))

    def any_call(self) -> Awaitable[None]:
        method = any_of([self.create, self.create, self.move, self.move, self.delete, self.rename, self.change_goal])
        return method()


async def test_counters_and_charts_are_consistent_after_random_concurrent_calls(service: Service) -> None:
    factory_ids = [(await create_factory(service)).id for _ in range(4)]
    traffic = Traffic(service, factory_ids, (await create_sprocket_type(service)).id)
    codes: Counter[grpc.StatusCode] = Counter()
    for _ in range(10):
        codes.update(await codes_of(traffic.any_call() for _ in range(30)))
        await assert_books_agree(service)
    assert set(codes) - {ABORTED} == {OK, NOT_FOUND, FAILED_PRECONDITION}
    assert await query(service, "SELECT count(*), sum(sprocket_production_actual) FROM factory") == [(4, traffic.alive)]


@pytest.mark.parametrize("missing", ["sprocket_type_id", "factory_id", "factory_id,sprocket_type_id"])
async def test_a_create_with_missing_references_has_no_effect(service: Service, missing: str) -> None:
    existing = await create_sprocket(service)
    keys = {"factory_id": existing.factory_id, "sprocket_type_id": existing.sprocket_type_id}
    with fails(FAILED_PRECONDITION) as failure:
        await create_sprocket(service, **keys | dict.fromkeys(missing.split(","), MISSING_ID))
    assert failure.info.metadata["fields"].replace("sprocket.", "") == missing
    assert await actual_of(service, existing.factory_id) == 1
    assert await numbers_of(service, existing.factory_id) == [(10, 0), (10, 1)]
    await assert_books_agree(service)


async def test_an_invalid_create_has_no_effect(service: Service) -> None:
    made = await create_factory(service)
    with fails(grpc.StatusCode.INVALID_ARGUMENT):
        await create_sprocket(service, factory_id=made.id, display_name="x" * 64)
    assert await get_factory(service, made.id) == made
    assert await numbers_of(service, made.id) == [(10, 0)]


async def test_counting_changes_neither_the_update_time_nor_the_etag(service: Service) -> None:
    made, other = await create_factory(service), await create_factory(service)
    sprocket, _ = await create_sprockets(service, made.id, 2)
    await update_sprocket(service, sprocket.id, factory_id=other.id)
    after_move = await get_factory(service, other.id)
    await delete_sprocket(service, sprocket.id)
    made.sprocket_production_actual, after_move.sprocket_production_actual = 1, 0
    assert await get_factory(service, made.id) == made
    assert await get_factory(service, other.id) == after_move == other


async def test_a_move_to_a_missing_factory_changes_nothing(service: Service) -> None:
    sprocket = await create_sprocket(service)
    with fails(FAILED_PRECONDITION) as failure:
        await update_sprocket(service, sprocket.id, factory_id=MISSING_ID, display_name="Other")
    assert failure.info.metadata["fields"] == "sprocket.factory_id"
    assert await update_sprocket(service, sprocket.id) == sprocket
    assert await numbers_of(service, sprocket.factory_id) == [(10, 0), (10, 1)]
    await assert_books_agree(service)


async def test_concurrent_moves_in_opposite_directions_do_not_deadlock(service: Service) -> None:
    one, other = [(await create_factory(service)).id for _ in range(2)]
    from_one, from_other = [await create_sprockets(service, factory_id, 15) for factory_id in (one, other)]
    for targets in ([other, one], [one, other]):
        moves = [
            update_sprocket(service, sprocket.id, factory_id=target)
            for pair in zip(from_one, from_other, strict=True)
            for sprocket, target in zip(pair, targets, strict=True)
        ]
        assert await codes_of(moves) == [OK] * 30
        assert [await actual_of(service, factory_id) for factory_id in (one, other)] == [15, 15]
    await assert_books_agree(service)


async def test_a_sprocket_is_counted_in_one_factory_after_concurrent_moves(service: Service) -> None:
    sprocket = await create_sprocket(service)
    factory_ids = [sprocket.factory_id, *[(await create_factory(service)).id for _ in range(4)]]
    moves = [update_sprocket(service, sprocket.id, factory_id=factory_id) for factory_id in factory_ids * 4]
    assert await codes_of(moves) == [OK] * 20
    assert sorted([await actual_of(service, factory_id) for factory_id in factory_ids]) == [0, 0, 0, 0, 1]
    await assert_books_agree(service)


async def test_concurrent_deletes_of_a_sprocket_decrement_the_counter_once(service: Service) -> None:
    sprocket, *_ = await create_sprockets(service, (await create_factory(service)).id, 3)
    codes = await codes_of([delete_sprocket(service, sprocket.id) for _ in range(10)])
    assert Counter(codes) == {OK: 1, NOT_FOUND: 9}
    assert await actual_of(service, sprocket.factory_id) == 2
    await assert_books_agree(service)


async def test_concurrent_moves_and_deletes_of_sprockets_keep_counters_consistent(service: Service) -> None:
    before, after = [(await create_factory(service)).id for _ in range(2)]
    sprockets = await create_sprockets(service, before, 10)
    moves = [update_sprocket(service, each.id, factory_id=after) for each in sprockets]
    deletions = [delete_sprocket(service, each.id) for each in sprockets]
    codes = await codes_of([call for pair in zip(moves, deletions, strict=True) for call in pair])
    assert set(codes[0::2]) <= {OK, NOT_FOUND}
    assert set(codes[1::2]) <= {OK, ABORTED}
    await assert_books_agree(service)


async def test_a_delete_that_waits_for_a_move_decrements_the_counter_of_the_new_factory(
    service: Service, database_url: str
) -> None:
    sprocket, target = await create_sprocket(service), await create_factory(service)
    lock = "SELECT FROM factory WHERE id = :id FOR NO KEY UPDATE"
    async with open_transaction(database_url, lock, id=target.id) as transaction:
        move = asyncio.create_task(code_of(update_sprocket(service, sprocket.id, factory_id=target.id)))
        await waiting_for(transaction)
        deletion = asyncio.create_task(code_of(delete_sprocket(service, sprocket.id)))
        await waiting_for(transaction, 2)
    assert await move is OK
    assert await deletion in {OK, ABORTED}
    await assert_books_agree(service)


async def test_a_delete_of_a_factory_during_creates_succeeds_or_is_refused_as_in_use(service: Service) -> None:
    type_id = (await create_sprocket_type(service)).id
    for position in [*range(6), *range(6)]:
        factory_id = (await create_factory(service)).id
        keys = {"factory_id": factory_id, "sprocket_type_id": type_id}
        calls: list[Awaitable[object]] = [create_sprocket(service, **keys) for _ in range(5)]
        calls.insert(position, delete_factory(service, factory_id))
        codes = await codes_of(calls)
        deletion = codes.pop(position)
        assert (deletion, set(codes)) in [(OK, {FAILED_PRECONDITION}), (FAILED_PRECONDITION, {OK})]
    await assert_books_agree(service)


async def test_a_delete_of_a_factory_during_deletes_of_its_sprockets_keeps_data_consistent(database_url: str) -> None:
    # The two transactions may deadlock. PostgreSQL checks for deadlocks after 1 s by default, and aborts one of them.
    execute(database_url, f"ALTER DATABASE {make_url(database_url).database} SET deadlock_timeout = '10ms'")
    async with running_service(database_url) as service:
        for _ in range(5):
            sprockets = await create_sprockets(service, (await create_factory(service)).id, 3)
            calls: list[Awaitable[object]] = [delete_sprocket(service, each.id) for each in sprockets]
            codes = await codes_of([*calls, delete_factory(service, sprockets[0].factory_id)])
            assert set(codes) <= {OK, FAILED_PRECONDITION, ABORTED}
            await assert_books_agree(service)
