"""`allow_missing`: a deletion that finds nothing is done, an update that finds nothing creates (row 9)."""

import asyncio
import uuid
from typing import Any

import grpc
import pytest

from tests.conformance.promises import REFERENCE_NOT_FOUND, RESOURCE_NOT_FOUND, invalid, refusal
from tests.support.books import assert_books_agree, numbers_of
from tests.support.resources import CASES, MISSING_ID, Case
from tests.support.service import Service

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
referring = pytest.mark.parametrize(
    ("case", "field"),
    [(CASES[2], "location_id"), (CASES[3], "sprocket_type_id"), (CASES[3], "factory_id")],
    ids=lambda it: it if isinstance(it, str) else it.name,
)

REQUIRED = {
    "location": ["address", "city", "postal_code", "country_code"],
    "sprocket_type": ["teeth", "pitch_mm", "pitch_diameter_mm", "outside_diameter_mm"],
    "factory": ["location_id"],
    "sprocket": ["sprocket_type_id", "factory_id"],
}
"""What a resource needs beside a name."""


async def put(service: Service, case: Case, message: Any, paths: tuple[str, ...] = (), **fields: Any) -> Any:
    """Update a resource, or create it if there is none."""
    request = case.request("Update", allow_missing=True, **{case.name: message}, **fields)
    request.update_mask.paths.extend(paths)
    return getattr(await case.method(service, "Update")(request), case.name)


async def missing(service: Service, case: Case, **fields: Any) -> Any:
    """Make a valid message with an id that nothing has."""
    message = await case.message(service, **fields)
    message.id = str(uuid.uuid4())
    return message


async def assert_none(service: Service, case: Case) -> None:
    """Check that there is no resource of a kind."""
    assert await case.page(service) == ([], "")


@every_resource
async def test_deleting_what_is_missing_is_fine_if_that_is_allowed(service: Service, case: Case) -> None:
    delete = case.method(service, "Delete")
    for more in [{}, {"etag": '"5"'}] + [{"force": True}] * (case.name != "sprocket"):
        await delete(case.request("Delete", id=MISSING_ID, allow_missing=True, **more))
        missed = delete(case.request("Delete", id=MISSING_ID, **more))
        await refusal(missed, grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)


@every_resource
async def test_deleting_what_is_there_deletes_it_as_ever(service: Service, case: Case) -> None:
    created = await case.create(service)
    for _ in range(2):
        await case.method(service, "Delete")(case.request("Delete", id=created.id, allow_missing=True))
    await assert_none(service, case)


@every_resource
async def test_updating_what_is_missing_creates_all_of_it_with_its_id_whatever_the_mask(
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
async def test_output_only_fields_of_what_is_created_are_ignored(service: Service, case: Case) -> None:
    message = await missing(service, case)
    message.create_time.FromSeconds(1)
    message.update_time.FromSeconds(1)
    if case.name == "factory":
        message.sprocket_production_actual = 7
    created = await put(service, case, message)
    assert created.create_time.seconds > 1
    assert created.update_time == created.create_time
    assert getattr(created, "sprocket_production_actual", 0) == 0


@every_resource
async def test_updating_what_is_there_updates_what_the_mask_says(service: Service, case: Case) -> None:
    created = await case.create(service)
    message = type(created)(id=created.id, display_name="other", etag=created.etag)
    updated = await put(service, case, message, ("display_name",))
    created.display_name, created.etag = "other", updated.etag
    created.update_time.CopyFrom(updated.update_time)
    assert updated == created == await case.get(service, created.id)


@every_resource
async def test_without_it_updating_what_is_missing_is_not_found(service: Service, case: Case) -> None:
    message = await missing(service, case)
    await refusal(case.update(service, message), grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)
    await assert_none(service, case)


@every_resource
async def test_nothing_invalid_is_created(service: Service, case: Case) -> None:
    message = await missing(service, case)
    empty = type(message)(id=message.id, display_name="x")
    for paths in ((), ("display_name",)):
        wrong = await invalid(put(service, case, empty, paths))
        assert wrong == [f"{case.name}.{name}" for name in REQUIRED[case.name]]
    await assert_none(service, case)


@every_resource
async def test_nothing_is_created_with_a_malformed_id(service: Service, case: Case) -> None:
    message = await missing(service, case)
    for identifier in ("", "5", message.id.upper(), f"{message.id} "):
        message.id = identifier
        assert await invalid(put(service, case, message)) == [f"{case.name}.id"]
    await assert_none(service, case)


@referring
async def test_nothing_is_created_that_refers_to_what_is_missing(service: Service, case: Case, field: str) -> None:
    message = await missing(service, case, **{field: MISSING_ID})
    failure = await refusal(put(service, case, message), grpc.StatusCode.FAILED_PRECONDITION, REFERENCE_NOT_FOUND)
    assert failure.info.metadata["fields"] == f"{case.name}.{field}"
    await assert_none(service, case)


@every_resource
async def test_an_etag_of_something_that_is_gone_creates_nothing(service: Service, case: Case) -> None:
    message = await case.create(service)
    await case.delete(service, message.id)
    await refusal(put(service, case, message), grpc.StatusCode.ABORTED, "ERROR_REASON_ETAG_MISMATCH")
    await assert_none(service, case)


@every_resource
async def test_ten_at_once_create_one(service: Service, case: Case) -> None:
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
