"""Which rows each write has locked while it waits for the next: all writes lock in the same order, and nothing less.

All lock sprockets first, then factories, then what these refer to, and within a table in the order of ids. Outcomes
do not show this: a race that a lock would have prevented is rare, and a deadlock is ABORTED, as other conflicts are.
"""

from typing import NamedTuple

import pytest
from sqlalchemy import text

from sprocket_grpc.storage import api_key, idempotency
from sprocket_grpc.storage.postgres import database
from sprocket_grpc.storage.postgres.statements import Statement
from tests.support.lock_world import CALLS, CREATIONS, F0, F1, K0, K1, L0, L1, R0, R1, S0, S1, S2, T0, T1, fill, upsert
from tests.support.locks import open_transaction
from tests.support.resources import MISSING_ID
from tests.support.row_locks import Row, gate, lock_on, locks_while_waiting, row_locked
from tests.support.service import Service

pytestmark = pytest.mark.slow


class Wait(NamedTuple):
    """A call that waits, for a row or at a gate, and the locks that it has on other rows then."""

    call: str
    at: Row | str
    locks: dict[Row, str]
    strength: str = "UPDATE"

    @property
    def name(self) -> str:
        """The name of its test."""
        place = self.at if isinstance(self.at, str) else f"{self.at.table} {self.at.id[-1]}"
        return f"{self.call} at {place}"


NOTHING, KEY_SHARE, NO_KEY_UPDATE, UPDATE = "", "KEY SHARE", "NO KEY UPDATE", "UPDATE"
EACH_INSERT, EACH_DELETE = "INSERT ON sprocket FOR EACH ROW", "DELETE ON sprocket FOR EACH STATEMENT"

WAITS = [
    # While it waits for its factory, it holds no type: deletions of types do not wait for a busy factory.
    *(Wait(each, F0, {T1: NOTHING}, NO_KEY_UPDATE) for each in CREATIONS),
    # Once it knows that the type exists, the type stays.
    *(Wait(each, EACH_INSERT, {F0: NO_KEY_UPDATE, T1: KEY_SHARE}) for each in CREATIONS),
    Wait("a batch in two factories", F0, {F1: NOTHING, T1: NOTHING}, NO_KEY_UPDATE),
    Wait("a batch in two factories", F1, {F0: NO_KEY_UPDATE, T1: NOTHING}, NO_KEY_UPDATE),
    Wait("a batch of two types", T0, {T1: NOTHING, F0: NO_KEY_UPDATE}),
    Wait("a batch of two types", T1, {T0: KEY_SHARE, F0: NO_KEY_UPDATE}),
    # Locations in the order of their ids, before the factories refer to them.
    Wait("a batch of factories", L0, {L1: NOTHING}),
    Wait("a batch of factories", L1, {L0: KEY_SHARE}),
    Wait("a batch of factories", "INSERT ON factory FOR EACH ROW", {L0: KEY_SHARE, L1: KEY_SHARE}),
    # Sprockets before factories, both in the order of ids.
    Wait("a deletion", S0, {F0: NOTHING}),
    Wait("a deletion", F0, {S0: UPDATE}, NO_KEY_UPDATE),
    Wait("a batch deletion", S0, {S1: NOTHING, S2: NOTHING, F0: NOTHING, F1: NOTHING}),
    Wait("a batch deletion", S2, {S0: UPDATE, S1: UPDATE, F0: NOTHING, F1: NOTHING}),
    Wait("a batch deletion", F0, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F1: NOTHING}, NO_KEY_UPDATE),
    Wait("a batch deletion", F1, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: NO_KEY_UPDATE}, NO_KEY_UPDATE),
    Wait("a move", F0, {S0: NO_KEY_UPDATE, F1: KEY_SHARE}, NO_KEY_UPDATE),
    Wait("a move", F1, {S0: NO_KEY_UPDATE, F0: NO_KEY_UPDATE}, NO_KEY_UPDATE),
    Wait("a move back", F0, {S1: NO_KEY_UPDATE, F1: NOTHING}, NO_KEY_UPDATE),
    Wait("a move back", F1, {S1: NO_KEY_UPDATE, F0: NO_KEY_UPDATE}, NO_KEY_UPDATE),
    # An update locks its row before it reads it, and what it will refer to before it does.
    Wait("a move", "UPDATE ON sprocket FOR EACH STATEMENT", {S0: NO_KEY_UPDATE, F0: NO_KEY_UPDATE, F1: NO_KEY_UPDATE}),
    Wait("a new type", "UPDATE ON sprocket FOR EACH STATEMENT", {S0: NO_KEY_UPDATE, T1: KEY_SHARE}),
    Wait("a relocation", "UPDATE ON factory FOR EACH STATEMENT", {F0: NO_KEY_UPDATE, L1: KEY_SHARE}),
    Wait("a new goal", "UPDATE ON factory FOR EACH STATEMENT", {F0: NO_KEY_UPDATE}),
    Wait("a new city", "UPDATE ON location FOR EACH STATEMENT", {L0: NO_KEY_UPDATE}),
    Wait("more teeth", "UPDATE ON sprocket_type FOR EACH STATEMENT", {T0: NO_KEY_UPDATE}),
    # Cascades lock everything, from the leaves up, before they delete anything.
    Wait("a factory's end", S0, {S2: NOTHING, F0: NOTHING}),
    Wait("a factory's end", S2, {S0: UPDATE, F0: NOTHING}),
    Wait("a factory's end", F0, {S0: UPDATE, S2: UPDATE}),
    Wait("a factory's end", EACH_DELETE, {S0: UPDATE, S2: UPDATE, F0: UPDATE}),
    Wait("a location's end", S0, {S1: NOTHING, S2: NOTHING, F0: NOTHING, F1: NOTHING, L0: NOTHING}),
    Wait("a location's end", S2, {S0: UPDATE, S1: UPDATE, F0: NOTHING, F1: NOTHING, L0: NOTHING}),
    Wait("a location's end", F0, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F1: NOTHING, L0: NOTHING}),
    Wait("a location's end", F1, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: UPDATE, L0: NOTHING}),
    Wait("a location's end", L0, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: UPDATE, F1: UPDATE}),
    Wait("a location's end", EACH_DELETE, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: UPDATE, F1: UPDATE, L0: UPDATE}),
    Wait("a type's end", S0, {S1: NOTHING, S2: NOTHING, F0: NOTHING, F1: NOTHING, T0: NOTHING}),
    Wait("a type's end", S2, {S0: UPDATE, S1: UPDATE, F0: NOTHING, F1: NOTHING, T0: NOTHING}),
    Wait("a type's end", F0, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F1: NOTHING, T0: NOTHING}),
    Wait("a type's end", F1, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: UPDATE, T0: NOTHING}),
    Wait("a type's end", T0, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: UPDATE, F1: UPDATE}),
    Wait("a type's end", EACH_DELETE, {S0: UPDATE, S1: UPDATE, S2: UPDATE, F0: UPDATE, F1: UPDATE, T0: UPDATE}),
]


@pytest.fixture(autouse=True)
def world(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database_url)
    # Creations that share a transaction would give up the lock that a test looks at.
    monkeypatch.setattr(database, "_LIMIT_LOCK_WAIT", Statement(text("SELECT 1")))


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.name)
async def test_while_it_waits_a_call_has_exactly_the_locks_of(service: Service, database_url: str, wait: Wait) -> None:
    blocked = (
        gate(database_url, wait.at) if isinstance(wait.at, str) else row_locked(database_url, wait.at, wait.strength)
    )
    async with blocked as blocker:
        assert await locks_while_waiting(database_url, blocker, CALLS[wait.call](service), wait.locks) == wait.locks


async def test_an_update_that_may_create_reserves_the_id(service: Service, database_url: str) -> None:
    reserve = "SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))"
    async with open_transaction(database_url, reserve, id=MISSING_ID) as blocker:
        await locks_while_waiting(database_url, blocker, upsert(service), ())  # it would not wait otherwise


# Records and keys.


@pytest.mark.parametrize(("first", "locks"), [(R0, {R1: NOTHING}), (R1, {R0: NO_KEY_UPDATE})])
async def test_request_ids_are_claimed_in_their_order(
    service: Service, database_url: str, first: Row, locks: dict[Row, str]
) -> None:
    claims = {R1.id: b"", R0.id: b""}
    async with row_locked(database_url, first, UPDATE) as blocker:
        claiming = service.database.run_in_transaction(idempotency.claim, claims, 1)
        assert await locks_while_waiting(database_url, blocker, claiming, locks) == locks


async def test_a_purge_leaves_records_that_another_server_is_purging(service: Service, database_url: str) -> None:
    async with row_locked(database_url, R0, UPDATE):
        assert await service.database.run(idempotency.purge, 1) == 1
    assert await lock_on(database_url, R0) == NOTHING


@pytest.mark.parametrize(("first", "locks"), [(K0, {K1: NOTHING}), (K1, {K0: UPDATE})])
async def test_the_uses_of_keys_are_recorded_in_the_order_of_their_ids(
    service: Service, database_url: str, first: Row, locks: dict[Row, str]
) -> None:
    async with row_locked(database_url, first, UPDATE) as blocker:
        recording = service.database.run(api_key.record_use, [K1.id, K0.id])
        assert await locks_while_waiting(database_url, blocker, recording, locks) == locks
