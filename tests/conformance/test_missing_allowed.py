"""`allow_missing`: deleting a missing resource succeeds, and updating a missing resource creates it."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from tests.conformance.fields import fields_of, output_only
from tests.conformance.promises import REFERENCE_NOT_FOUND, RESOURCE_NOT_FOUND, invalid, refusal
from tests.support.books import assert_books_agree, numbers_of
from tests.support.resources import CASES, MISSING_ID, REFERENCES, Case, Reference
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_reference = pytest.mark.parametrize("reference", REFERENCES, ids=lambda it: f"{it.case.name}.{it.field}")


async def put(service: Service, case: Case, message: Any, paths: tuple[str, ...] = (), **fields: Any) -> Any:
    """Update a resource, or create it if it is missing."""
    request = case.request("Update", allow_missing=True, **{case.name: message}, **fields)
    request.update_mask.paths.extend(paths)
    return getattr(await case.method(service, "Update")(request), case.name)


async def missing(service: Service, case: Case, **fields: Any) -> Any:
    """Make a valid message with an unused id."""
    message = await case.message(service, **fields)
    message.id = str(uuid.uuid4())
    return message


def required(case: Case) -> list[str]:
    """Return the fields that must not be empty, in the order of the message."""
    names = {field.name for field in fields_of(case.name) if field.required}
    return [field.name for field in case.descriptor.fields if field.name in names]


async def assert_none(service: Service, case: Case) -> None:
    """Check that no resource of a kind exists."""
    assert await case.page(service) == ([], "")


@every_resource
async def test_deleting_a_missing_resource_succeeds_with_allow_missing(service: Service, case: Case) -> None:
    delete = case.method(service, "Delete")
    for more in [{}, {"etag": '"5"'}] + [{"force": True}] * case.has_force:
        await delete(case.request("Delete", id=MISSING_ID, allow_missing=True, **more))
        missed = delete(case.request("Delete", id=MISSING_ID, **more))
        await refusal(missed, grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)


@every_resource
async def test_deleting_an_existing_resource_with_allow_missing_deletes_it(service: Service, case: Case) -> None:
    created = await case.create(service)
    for _ in range(2):
        await case.method(service, "Delete")(case.request("Delete", id=created.id, allow_missing=True))
    await assert_none(service, case)


@every_resource
async def test_updating_a_missing_resource_creates_it_with_its_id_and_all_fields_for_any_mask(
    service: Service, case: Case
) -> None:
    for paths in ((), ("*",), ("display_name",), ("id",)):
        message = await missing(service, case)
        created = await put(service, case, message, paths)
        assert created == await case.get(service, message.id)
        assert created.etag
        assert created.create_time == created.update_time
        for name in ("create_time", "update_time", "etag"):
            created.ClearField(name)
        assert created == message


@every_resource
async def test_output_only_fields_are_ignored_if_an_update_creates_the_resource(service: Service, case: Case) -> None:
    message = await missing(service, case)
    outputs = output_only(case.name)
    del outputs["etag"]  # with one, nothing is created
    message.MergeFrom(type(message)(**outputs))
    created = await put(service, case, message)
    assert [name for name, value in outputs.items() if getattr(created, name) == value] == []
    assert created.update_time == created.create_time


@every_resource
async def test_updating_an_existing_resource_with_allow_missing_follows_the_mask(service: Service, case: Case) -> None:
    created = await case.create(service)
    message = type(created)(id=created.id, display_name="other", etag=created.etag)
    updated = await put(service, case, message, ("display_name",))
    created.display_name, created.etag = "other", updated.etag
    created.update_time.CopyFrom(updated.update_time)
    assert updated == created == await case.get(service, created.id)


@every_resource
async def test_updating_a_missing_resource_without_allow_missing_is_not_found(service: Service, case: Case) -> None:
    message = await missing(service, case)
    await refusal(case.update(service, message), grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)
    await assert_none(service, case)


@every_resource
async def test_an_update_with_allow_missing_creates_no_invalid_resource(service: Service, case: Case) -> None:
    message = await missing(service, case)
    empty = type(message)(id=message.id)
    named = type(message)(id=message.id, display_name="x")
    for sent, paths in ((empty, ()), (named, ()), (named, ("display_name",))):
        if missing_fields := [name for name in required(case) if not getattr(sent, name)]:
            named_fields = await invalid(put(service, case, sent, paths))
            assert named_fields == [f"{case.name}.{name}" for name in missing_fields]
    await assert_none(service, case)


@every_resource
async def test_an_update_with_allow_missing_refuses_a_malformed_id(service: Service, case: Case) -> None:
    message = await missing(service, case)
    for identifier in ("", "5", message.id.upper(), f"{message.id} "):
        message.id = identifier
        assert await invalid(put(service, case, message)) == [f"{case.name}.id"]
    await assert_none(service, case)


@every_reference
async def test_an_update_with_allow_missing_refuses_a_missing_reference(service: Service, reference: Reference) -> None:
    case, field, _ = reference
    message = await missing(service, case, **{field: MISSING_ID})
    failure = await refusal(put(service, case, message), grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
    assert failure.info.metadata["fields"] == f"{case.name}.{field}"
    await assert_none(service, case)


@every_resource
async def test_an_update_with_allow_missing_and_the_etag_of_a_deleted_resource_is_aborted(
    service: Service, case: Case
) -> None:
    message = await case.create(service)
    await case.delete(service, message.id)
    await refusal(put(service, case, message), grpc.StatusCode.ABORTED, "ERROR_REASON_ETAG_MISMATCH")
    await assert_none(service, case)


@every_resource
async def test_ten_concurrent_updates_with_allow_missing_create_one_resource(service: Service, case: Case) -> None:
    for count in range(1, 6):
        message = await missing(service, case)
        answers = await asyncio.gather(*(put(service, case, message) for _ in range(10)))
        assert {answer.id for answer in answers} == {message.id}
        assert len((await case.page(service))[0]) == count
        if case.name == "factory":
            assert await numbers_of(service, message.id) == [(10, 0)]
        if case.name == "sprocket":
            assert await numbers_of(service, message.factory_id) == [(10, 0), (10, 1)]
    await assert_books_agree(service)
