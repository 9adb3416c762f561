"""References to missing resources, and deletes of referenced resources."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import PreconditionFailure

from tests.conformance.messages import with_values
from tests.conformance.promises import REFERENCE_NOT_FOUND, refuses
from tests.support.books import assert_books_agree
from tests.support.errors import Failure
from tests.support.resources import LOCATION, MISSING_ID, REFERENCES, SPROCKET, SPROCKET_TYPE, Reference
from tests.support.service import Service

IN_USE = "ERROR_REASON_RESOURCE_IN_USE"

every_reference = pytest.mark.parametrize("reference", REFERENCES, ids=lambda it: f"{it.case.name}.{it.field}")


def assert_names(failure: Failure, paths: list[str]) -> None:
    """Check that an error lists exactly these fields."""
    assert [each.subject for each in failure.detail(PreconditionFailure).violations] == paths
    assert failure.info.metadata["fields"].split(",") == paths
    assert all(path in failure.message for path in paths)


async def missing_ids(service: Service, reference: Reference) -> list[str]:
    """Return ids that the field must refuse: an unused one, one of a deleted resource, and one of another type."""
    deleted = (await reference.target.create(service)).id
    await reference.target.delete(service, deleted)
    other = SPROCKET_TYPE if reference.target is LOCATION else LOCATION
    return [MISSING_ID, deleted, (await other.create(service)).id]


@every_reference
async def test_create_refuses_a_missing_reference(service: Service, reference: Reference) -> None:
    case, field, _ = reference
    for identifier in await missing_ids(service, reference):
        with refuses(grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND) as failure:
            await case.create(service, **{field: identifier})
        assert_names(failure, [f"{case.name}.{field}"])
    assert await case.page(service) == ([], "")


@every_reference
async def test_update_refuses_a_missing_reference(service: Service, reference: Reference) -> None:
    case, field, _ = reference
    created = await case.create(service)
    for identifier in await missing_ids(service, reference):
        for mask in (None, ["*"], [field]):
            with refuses(grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND) as failure:
                await case.update(service, with_values(created, {field: identifier}), mask)
            assert_names(failure, [f"{case.name}.{field}"])
    assert await case.get(service, created.id) == created
    await assert_books_agree(service)


async def test_all_missing_references_are_reported_together(service: Service) -> None:
    paths = ["sprocket.factory_id", "sprocket.sprocket_type_id"]
    missing = {"sprocket_type_id": MISSING_ID, "factory_id": MISSING_ID}
    with refuses(grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND) as failure:
        await SPROCKET.create(service, **missing)
    assert_names(failure, paths)
    created = await SPROCKET.create(service)
    with refuses(grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND) as failure:
        await SPROCKET.update(service, type(created)(id=created.id, **missing))
    assert_names(failure, paths)
    assert await SPROCKET.get(service, created.id) == created


@every_reference
async def test_a_referenced_resource_cannot_be_deleted(service: Service, reference: Reference) -> None:
    case, field, target = reference
    created = await case.create(service)
    identifier = getattr(created, field)
    before = await target.get(service, identifier)
    with refuses(grpc.StatusCode.FAILED_PRECONDITION, IN_USE) as failure:
        await target.delete(service, identifier)
    types = {"resource_type": f"sprocket.v1.{target.kind}", "used_by": f"sprocket.v1.{case.kind}"}
    assert dict(failure.info.metadata) == {"id": identifier, **types}
    (violation,) = failure.detail(PreconditionFailure).violations
    assert case.name in violation.description
    assert (await target.get(service, identifier), await case.get(service, created.id)) == (before, created)


@every_reference
async def test_a_resource_can_be_deleted_once_it_is_no_longer_referenced(
    service: Service, reference: Reference
) -> None:
    case, field, target = reference
    first, second = await asyncio.gather(case.create(service), case.create(service))
    changed = type(first)(id=first.id, **{field: getattr(second, field)})
    await case.update(service, changed)
    await target.delete(service, getattr(first, field))
    await case.delete(service, first.id)
    await case.delete(service, second.id)
    await target.delete(service, getattr(second, field))
    await assert_books_agree(service)
