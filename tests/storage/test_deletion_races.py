"""Deleting what another call is just referring to: one of both is FAILED_PRECONDITION, never INTERNAL."""

import asyncio
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.location_pb2 import DeleteLocationRequest
from sprocket.v1.sprocket_type_pb2 import DeleteSprocketTypeRequest
from sprocket_grpc.storage.postgres import database
from sprocket_grpc.storage.postgres.statements import Statement
from tests.support.books import assert_books_agree
from tests.support.errors import fails
from tests.support.lock_world import CALLS, CREATIONS, F0, L1, T1, fill
from tests.support.locks import open_transaction, waiting_for
from tests.support.row_locks import PATIENCE_SECONDS, gate
from tests.support.service import Service

pytestmark = pytest.mark.slow

REFERRED = dict.fromkeys((*CREATIONS, "a new type"), T1)
REFERRED |= dict.fromkeys(("a new factory", "a batch of factories", "a relocation"), L1)
"""What each call refers to that nothing else refers to."""

PLACES = dict.fromkeys(("a new factory", "a batch of factories"), "INSERT ON factory")
PLACES |= {"a relocation": "UPDATE ON factory", "a new type": "UPDATE ON sprocket"}
KEEPING = sorted(REFERRED.keys() - {"a new factory", "a dry run"})
"""Calls of more than one statement, or that lock what they refer to. Foreign keys are checked after the others."""

DELETE_AND_LOCK = """
WITH gone AS (DELETE FROM sprocket_type WHERE id = :type_id) SELECT FROM factory WHERE id = :factory_id FOR UPDATE
"""


@pytest.fixture(autouse=True)
def world(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database_url)
    # Creations that share a transaction would give up at a gate, and take their locks again later.
    monkeypatch.setattr(database, "_LIMIT_LOCK_WAIT", Statement(text("SELECT 1")))


def deletion(service: Service, call: str, *, force: bool = False) -> Any:
    if REFERRED[call] == T1:
        return service.sprocket_types.DeleteSprocketType(DeleteSprocketTypeRequest(id=T1.id, force=force))
    return service.locations.DeleteLocation(DeleteLocationRequest(id=L1.id, force=force))


async def finish_after_commit(blocker: Any, call: Any) -> None:
    """Start a call, commit what it waits for, and let it finish."""
    calling = asyncio.ensure_future(call)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await waiting_for(blocker)
        await blocker.commit()
        await calling


@pytest.mark.parametrize("call", REFERRED)
async def test_a_call_that_waits_for_a_deletion_says_that_the_reference_is_missing(
    service: Service, database_url: str, call: str
) -> None:
    row = REFERRED[call]
    delete = f"DELETE FROM {row.table} WHERE id = :id"  # noqa: S608  # our own names
    async with open_transaction(database_url, delete, id=row.id) as blocker:
        with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
            await finish_after_commit(blocker, CALLS[call](service))
    assert failure.info.reason == "ERROR_REASON_REFERENCE_NOT_FOUND"


@pytest.mark.parametrize("call", CREATIONS)
async def test_a_creation_that_waits_for_its_factory_sees_what_was_deleted_meanwhile(
    service: Service, database_url: str, call: str
) -> None:
    async with open_transaction(database_url, DELETE_AND_LOCK, type_id=T1.id, factory_id=F0.id) as blocker:
        with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
            await finish_after_commit(blocker, CALLS[call](service))
    assert failure.info.reason == "ERROR_REASON_REFERENCE_NOT_FOUND"
    await assert_books_agree(service)


@pytest.mark.parametrize("call", KEEPING)
async def test_what_is_just_being_referred_to_is_in_use(service: Service, database_url: str, call: str) -> None:
    async with gate(database_url, f"{PLACES.get(call, 'INSERT ON sprocket')} FOR EACH ROW") as blocker:
        referring = asyncio.ensure_future(CALLS[call](service))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting_for(blocker)
            with fails(grpc.StatusCode.FAILED_PRECONDITION) as failure:
                await finish_after_commit(blocker, deletion(service, call))
            await referring
    assert failure.info.reason == "ERROR_REASON_RESOURCE_IN_USE"


@pytest.mark.parametrize("call", KEEPING)
async def test_with_force_what_is_just_being_referred_to_is_deleted_with_what_refers_to_it(
    service: Service, database_url: str, call: str
) -> None:
    async with gate(database_url, f"{PLACES.get(call, 'INSERT ON sprocket')} FOR EACH ROW") as blocker:
        referring = asyncio.ensure_future(CALLS[call](service))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting_for(blocker)
            await finish_after_commit(blocker, deletion(service, call, force=True))
            await referring
    await assert_books_agree(service)
