"""Deletes of resources in use are refused without `force`, and cascade with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import PreconditionFailure

from sprocket.v1.sprocket_pb2 import BatchCreateSprocketsRequest, Sprocket
from tests.conformance.promises import refusal
from tests.conformance.writes import dump
from tests.support.books import assert_books_agree, numbers_of, query
from tests.support.production import get_factory
from tests.support.resources import (
    CASES,
    FACTORY,
    LOCATION,
    REFERENCES,
    SPROCKET,
    SPROCKET_TYPE,
    Case,
    create_factory,
    create_location,
    create_sprocket,
    create_sprocket_type,
)
from tests.support.service import Service
from tests.support.waiting import until

IN_USE = "ERROR_REASON_RESOURCE_IN_USE"
COMPANY = [LOCATION, SPROCKET_TYPE, FACTORY, SPROCKET]
"""The resources that `found` creates."""

USED_BY = {reference.target.name: reference.case for reference in REFERENCES}

every_used_resource = pytest.mark.parametrize("case", COMPANY[:3], ids=lambda case: case.name)


@dataclass(frozen=True)
class Company:
    """Two locations with three factories, each with two sprockets of each of two types.

    Attributes:
        ids: The ids of the first location, factory and type, by the name of the resource.
        factories: The ids of the factories; the first two are at the first location.
        kinds: The ids of the types.
    """

    ids: dict[str, str]
    factories: list[str]
    kinds: list[str]


async def found(service: Service) -> Company:
    """Create a company."""
    locations = [(await create_location(service)).id for _ in range(2)]
    places = [locations[0], locations[0], locations[1]]
    factories = [(await create_factory(service, location_id=place)).id for place in places]
    kinds = [(await create_sprocket_type(service)).id for _ in range(2)]
    made = [Sprocket(factory_id=factory, sprocket_type_id=kind) for factory in factories for kind in kinds * 2]
    await service.sprockets.BatchCreateSprockets(BatchCreateSprocketsRequest(sprockets=made))
    return Company({"location": locations[0], "sprocket_type": kinds[0], "factory": factories[0]}, factories, kinds)


def delete(service: Service, case: Case, identifier: str, **fields: Any) -> Awaitable[Any]:
    """Delete a resource."""
    return case.method(service, "Delete")(case.request("Delete", id=identifier, **fields))


async def counts(service: Service) -> dict[str, int]:
    """Return the number of resources of each kind."""
    return {case.name: len((await case.page(service))[0]) for case in COMPANY}


def test_every_resource_that_others_refer_to_has_force_and_is_tested_here() -> None:
    assert [case.name for case in CASES if case.has_force] == [case.name for case in CASES if case.name in USED_BY]
    assert USED_BY.keys() <= {case.name for case in COMPANY}, f"add what refers to it to the company in {__file__}"


@every_used_resource
async def test_a_resource_in_use_is_not_deleted_without_force(service: Service, case: Case) -> None:
    identifier = (await found(service)).ids[case.name]
    before = await dump(service)
    for more in ({}, {"allow_missing": True}):
        call = delete(service, case, identifier, **more)
        failure = await refusal(call, grpc.StatusCode.FAILED_PRECONDITION, IN_USE)
        (violation,) = failure.detail(PreconditionFailure).violations
        assert USED_BY[case.name].name in violation.description
        used_by = f"sprocket.v1.{USED_BY[case.name].kind}"
        expected = {"resource_type": f"sprocket.v1.{case.kind}", "id": identifier, "used_by": used_by}
        assert failure.info.metadata == expected
    assert await dump(service) == before


@every_used_resource
async def test_an_unused_resource_is_deleted_with_force_too(service: Service, case: Case) -> None:
    identifier = (await case.create(service)).id
    await delete(service, case, identifier, force=True)
    missed = delete(service, case, identifier, force=True)
    await refusal(missed, grpc.StatusCode.NOT_FOUND, "ERROR_REASON_RESOURCE_NOT_FOUND")


async def test_deleting_a_location_with_force_deletes_its_factories_charts_and_sprockets(service: Service) -> None:
    company = await found(service)
    kept = await get_factory(service, company.factories[2])
    await delete(service, LOCATION, company.ids["location"], force=True)
    assert await counts(service) == {"location": 1, "sprocket_type": 2, "factory": 1, "sprocket": 4}
    assert await get_factory(service, kept.id) == kept
    assert await numbers_of(service, kept.id) == [(10, 0), (10, 4)]
    assert await query(service, "SELECT DISTINCT factory_id::text FROM chart_entry") == [(kept.id,)]
    await assert_books_agree(service)


async def test_deleting_a_type_with_force_adds_one_chart_entry_to_each_factory(service: Service) -> None:
    company = await found(service)
    bystander = await create_sprocket(service, sprocket_type_id=company.kinds[1])
    await delete(service, SPROCKET_TYPE, company.ids["sprocket_type"], force=True)
    assert await counts(service) == {"location": 3, "sprocket_type": 1, "factory": 4, "sprocket": 7}
    for identifier in company.factories:
        assert await numbers_of(service, identifier) == [(10, 0), (10, 4), (10, 2)]
        assert (await get_factory(service, identifier)).sprocket_production_actual == 2
    assert await numbers_of(service, bystander.factory_id) == [(10, 0), (10, 1)]
    left, _ = await SPROCKET.page(service)
    assert {sprocket.sprocket_type_id for sprocket in left} == {company.kinds[1]}
    await assert_books_agree(service)


async def test_deleting_a_factory_with_force_changes_no_other_factory(service: Service) -> None:
    company = await found(service)
    others = [await get_factory(service, identifier) for identifier in company.factories[1:]]
    await delete(service, FACTORY, company.ids["factory"], force=True)
    assert await counts(service) == {"location": 2, "sprocket_type": 2, "factory": 2, "sprocket": 8}
    assert [await get_factory(service, other.id) for other in others] == others
    for other in others:
        assert await numbers_of(service, other.id) == [(10, 0), (10, 4)]
    await assert_books_agree(service)


@every_used_resource
async def test_force_does_not_override_the_etag(service: Service, case: Case) -> None:
    identifier = (await found(service)).ids[case.name]
    stale = await case.get(service, identifier)
    current = await case.update(service, type(stale)(id=identifier, display_name="changed"))
    before = await dump(service)
    aborted = delete(service, case, identifier, force=True, etag=stale.etag)
    await refusal(aborted, grpc.StatusCode.ABORTED, "ERROR_REASON_ETAG_MISMATCH")
    assert await dump(service) == before
    await delete(service, case, identifier, force=True, etag=current.etag)
    await assert_books_agree(service)
    gone = case.get(service, identifier)
    await refusal(gone, grpc.StatusCode.NOT_FOUND, "ERROR_REASON_RESOURCE_NOT_FOUND")


@every_used_resource
async def test_a_delete_with_force_is_atomic(service: Service, case: Case) -> None:
    company = await found(service)
    # The resource itself is deleted last: make this step fail.
    await query(service, f"CREATE TABLE stopper (id uuid REFERENCES {case.name} (id))")
    await query(service, "INSERT INTO stopper VALUES (:id)", id=company.ids[case.name])
    before = await dump(service)
    with pytest.raises(grpc.aio.AioRpcError):
        await delete(service, case, company.ids[case.name], force=True)
    assert await dump(service) == before


@asynccontextmanager
async def production(service: Service, company: Company) -> AsyncIterator[list[str]]:
    """Create sprockets of all factories and types continuously, and append the status of each call to a list.

    The clients create single sprockets, and batches for two factories.
    """
    results: list[str] = []

    async def produce(factory: str, kind: str) -> None:
        made = [Sprocket(factory_id=each, sprocket_type_id=kind) for each in (factory, company.factories[2])]
        while True:
            results.append(await ending(create_sprocket(service, factory_id=factory, sprocket_type_id=kind)))
            batch = BatchCreateSprocketsRequest(sprockets=made)
            results.append(await ending(service.sprockets.BatchCreateSprockets(batch)))

    works = [(factory, kind) for factory in company.factories for kind in company.kinds]
    workers = [asyncio.create_task(produce(*each)) for each in works]
    try:
        yield results
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)


async def ending(call: Awaitable[Any]) -> str:
    """Return the status of a call."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def happens(results: list[str], name: str, times: int) -> None:
    """Wait until `times` further calls have ended with a status."""
    wanted = results.count(name) + times
    await until(lambda: results.count(name) >= wanted)


@every_used_resource
async def test_sprockets_created_during_a_delete_with_force_are_deleted_or_refused(
    service: Service, case: Case
) -> None:
    company = await found(service)
    async with production(service, company) as results:
        await happens(results, "OK", 10)
        endings = [await ending(delete(service, case, company.ids[case.name], force=True))]
        while endings[-1] == "ABORTED":  # a conflict with another change, safe to retry
            endings.append(await ending(delete(service, case, company.ids[case.name], force=True)))
        await happens(results, "FAILED_PRECONDITION", 5)
        await happens(results, "OK", 5)
    assert endings[-1] == "OK"
    assert set(results) <= {"OK", "FAILED_PRECONDITION", "ABORTED"}
    await assert_books_agree(service)
    strays = await query(
        service,
        """
        SELECT FROM sprocket WHERE factory_id NOT IN (SELECT id FROM factory)
        OR sprocket_type_id NOT IN (SELECT id FROM sprocket_type)
        """,
    )
    assert strays == []


async def test_concurrent_deletes_with_force_keep_counters_and_charts_consistent(service: Service) -> None:
    company = await found(service)
    targets = [(SPROCKET_TYPE, company.kinds[0]), (SPROCKET_TYPE, company.kinds[1]), (FACTORY, company.factories[1])]
    endings = await asyncio.gather(*(ending(delete(service, *target, force=True)) for target in targets))
    assert set(endings) <= {"OK", "ABORTED"}
    assert "OK" in endings
    await assert_books_agree(service)
