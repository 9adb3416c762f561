"""Batches of sprockets, and BatchGet of all, are atomic, keep the order of the request, and need few SQL statements."""

import asyncio
import uuid
from collections.abc import Awaitable
from itertools import pairwise
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import PreconditionFailure, ResourceInfo

from sprocket.v1.sprocket_pb2 import BatchCreateSprocketsRequest, BatchDeleteSprocketsRequest, Sprocket
from tests.conformance.promises import REFERENCE_NOT_FOUND, RESOURCE_NOT_FOUND, invalid, refusal
from tests.conformance.rows import create_several
from tests.conformance.writes import dump
from tests.support.books import assert_books_agree, numbers_of
from tests.support.errors import Failure
from tests.support.resources import CASES, MISSING_ID, SPROCKET, Case, create_factory, create_sprocket_type
from tests.support.service import Service
from tests.support.statements import statements_of

MOST_STATEMENTS = 10

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def create(service: Service, sprockets: list[Sprocket], **fields: Any) -> list[Sprocket]:
    """Create sprockets."""
    request = BatchCreateSprocketsRequest(sprockets=sprockets, **fields)
    return list((await service.sprockets.BatchCreateSprockets(request)).sprockets)


async def delete(service: Service, ids: list[str], **fields: Any) -> None:
    """Delete sprockets."""
    await service.sprockets.BatchDeleteSprockets(BatchDeleteSprocketsRequest(ids=ids, **fields))


async def works(service: Service, count: int) -> tuple[list[str], str]:
    """Create factories and a sprocket type, and return the ids of the factories and the id of the type."""
    factories = await asyncio.gather(*(create_factory(service) for _ in range(count)))
    return sorted(factory.id for factory in factories), (await create_sprocket_type(service)).id


def spread(factories: list[str], kind: str, count: int) -> list[Sprocket]:
    """Make numbered sprockets of one type, for each of the factories in turn."""
    owners = [factories[number % len(factories)] for number in range(count)]
    return [Sprocket(display_name=str(n), factory_id=it, sprocket_type_id=kind) for n, it in enumerate(owners)]


def missing_ids(failure: Failure) -> list[str]:
    """Return the missing ids in the details of an error."""
    infos = [ResourceInfo() for _ in failure.status.details]
    return [info.resource_name for each, info in zip(failure.status.details, infos, strict=True) if each.Unpack(info)]


async def test_a_batch_may_contain_one_sprocket(service: Service) -> None:
    factories, kind = await works(service, 1)
    (created,) = await create(service, spread(factories, kind, 1))
    assert await SPROCKET.get(service, created.id) == created
    assert await numbers_of(service, factories[0]) == [(10, 0), (10, 1)]
    await delete(service, [created.id])
    assert await numbers_of(service, factories[0]) == [(10, 0), (10, 1), (10, 0)]
    await assert_books_agree(service)


async def test_a_batch_of_a_thousand_needs_few_statements_and_one_chart_entry_per_factory(service: Service) -> None:
    factories, kind = await works(service, 3)
    with statements_of(service.database) as of_creation:
        created = await create(service, spread(factories, kind, 1000))
    assert 0 < len(of_creation) <= MOST_STATEMENTS
    assert [(it.display_name, it.factory_id) for it in created] == [
        (it.display_name, it.factory_id) for it in spread(factories, kind, 1000)
    ]
    with statements_of(service.database) as of_reading:
        read = await SPROCKET.method(service, "BatchGet")(SPROCKET.request("BatchGet", ids=[it.id for it in created]))
    assert len(of_reading) <= MOST_STATEMENTS
    assert list(read.sprockets) == created
    with statements_of(service.database) as of_deletion:
        await delete(service, [it.id for it in reversed(created)])
    assert len(of_deletion) <= MOST_STATEMENTS
    for identifier, number in zip(factories, [334, 333, 333], strict=True):
        assert await numbers_of(service, identifier) == [(10, 0), (10, number), (10, 0)]
    await assert_books_agree(service)


async def test_an_empty_or_too_large_batch_is_not_deleted(service: Service) -> None:
    for ids in ([], [str(uuid.uuid4()) for _ in range(1001)]):
        assert await invalid(delete(service, ids)) == ["ids"]


async def test_an_invalid_request_id_is_reported_together_with_the_size_of_a_batch(service: Service) -> None:
    assert await invalid(delete(service, [], request_id="5")) == ["ids", "request_id"]


async def test_missing_references_of_different_fields_are_named_together(service: Service) -> None:
    factories, kind = await works(service, 2)
    sprockets = spread(factories, kind, 5)
    sprockets[1].sprocket_type_id = MISSING_ID
    sprockets[3].factory_id = MISSING_ID
    before = await dump(service)
    failure = await refusal(create(service, sprockets), grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
    subjects = {each.subject for each in failure.detail(PreconditionFailure).violations}
    assert subjects == {"sprockets[1].sprocket_type_id", "sprockets[3].factory_id"}
    assert set(failure.info.metadata["fields"].split(",")) == subjects
    assert await dump(service) == before


async def test_the_errors_of_a_thousand_invalid_ids_fit_into_the_trailers(service: Service) -> None:
    """`invalid` and `refusal` check the size of the trailers."""
    assert (await invalid(delete(service, ["x" * 1000] * 1000)))[0] == "ids[0]"
    ids = [str(uuid.uuid4()) for _ in range(1000)]
    failure = await refusal(delete(service, ids), grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)
    assert len(missing_ids(failure)) == 20


@every_resource
async def test_batch_get_keeps_the_order_and_the_duplicates_of_the_request(service: Service, case: Case) -> None:
    first, second, third = await create_several(service, case, 3)
    request = case.request("BatchGet", ids=[each.id for each in (third, first, second, first, first)])
    response = await case.method(service, "BatchGet")(request)
    assert list(getattr(response, case.plural)) == [third, first, second, first, first]


@every_resource
async def test_batch_get_names_the_missing_ids(service: Service, case: Case) -> None:
    created = await case.create(service)
    gone = [str(uuid.uuid4()) for _ in range(30)]
    for ids, named in (([gone[1], created.id, gone[0]], {gone[0], gone[1]}), ([*gone, created.id], None)):
        call = case.method(service, "BatchGet")(case.request("BatchGet", ids=ids))
        failure = await refusal(call, grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)
        found = missing_ids(failure)
        assert failure.info.metadata["resource_type"] == f"sprocket.v1.{case.kind}"
        assert failure.info.metadata["id"].split(",") == found
        assert set(found) == named if named else (set(found) <= set(gone) and len(set(found)) == 20)


@every_resource
async def test_batch_get_names_malformed_ids_by_index_and_refuses_an_invalid_size(service: Service, case: Case) -> None:
    def get(ids: list[str]) -> Awaitable[object]:
        return case.method(service, "BatchGet")(case.request("BatchGet", ids=ids))

    assert await invalid(get([MISSING_ID, "5", MISSING_ID, ""])) == ["ids[1]", "ids[3]"]
    assert await invalid(get([])) == ["ids"]
    assert await invalid(get([MISSING_ID] * 1001)) == ["ids"]
    await refusal(get([MISSING_ID] * 1000), grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)


async def test_a_batch_delete_with_an_invalid_id_deletes_nothing(service: Service) -> None:
    factories, kind = await works(service, 2)
    ids = [it.id for it in await create(service, spread(factories, kind, 4))]
    before = await dump(service)
    failure = await refusal(delete(service, [*ids, MISSING_ID]), grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)
    assert missing_ids(failure) == [MISSING_ID]
    assert await invalid(delete(service, [ids[0], "5", ids[1], ids[0], ids[0]])) == ["ids[1]", "ids[3]", "ids[4]"]
    assert await dump(service) == before


async def test_of_two_concurrent_batch_deletes_of_the_same_sprockets_one_succeeds(service: Service) -> None:
    factories, kind = await works(service, 2)
    ids = [it.id for it in await create(service, spread(factories, kind, 100))]
    results = await asyncio.gather(delete(service, ids), delete(service, ids[::-1]), return_exceptions=True)
    (failed,) = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert failed.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED)
    for identifier in factories:
        assert await numbers_of(service, identifier) == [(10, 0), (10, 50), (10, 0)]
    await assert_books_agree(service)


async def test_batches_in_opposite_orders_of_factories_do_not_deadlock(service: Service) -> None:
    factories, kind = await works(service, 6)
    there, back = spread(factories, kind, 60), spread(factories[::-1], kind, 60)
    batches = await asyncio.gather(*(create(service, each) for each in [there, back] * 10))
    await asyncio.gather(*(delete(service, [it.id for it in batch]) for batch in batches))
    for identifier in factories:
        numbers = await numbers_of(service, identifier)
        assert len(numbers) == 1 + 40
        assert {abs(after[1] - before[1]) for before, after in pairwise(numbers)} == {10}
    await assert_books_agree(service)
