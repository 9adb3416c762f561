"""Dry runs (`validate_only`) return the response or the error of the request, and change nothing."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from tests.conformance.promises import invalid
from tests.conformance.writes import MAKERS, Maker, Write, creation, dump, every_write, growth, write
from tests.support.resources import (
    CASES,
    FACTORY,
    LOCATION,
    MISSING_ID,
    REFERENCES,
    SPROCKET,
    SPROCKET_TYPE,
    Case,
    create_sprocket,
)
from tests.support.service import Service

SERVER_SET = ("id", "create_time", "update_time", "etag")

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def outcome(service: Service, request: Write, **fields: Any) -> Any:
    """Return the response to a write without the fields that differ in every call, or its error."""
    try:
        response = request.response.FromString(await request.send(service, **fields))
    except grpc.aio.AioRpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        status = Status.FromString(bytes(trailers["grpc-status-details-bin"]))
        del status.details[-1]  # the RequestInfo, which differs in every call
        return status
    for field, value in response.ListFields():
        for message in value if field.is_repeated else [value]:
            for name in SERVER_SET:
                message.ClearField(name)
    return response


async def assert_dry_run_predicts(service: Service, request: Write) -> dict[str, int]:
    """Check that a dry run changes nothing, and returns the same as the real request.

    Returns:
        The growth of the tables by the real request.
    """
    before = await dump(service)
    predicted = await outcome(service, request, validate_only=True)
    assert await dump(service) == before
    assert predicted == await outcome(service, request)
    return growth(before, await dump(service))


async def assert_refused_alike(service: Service, requests: AsyncIterator[Write]) -> None:
    """Check that each request is refused, with the same error in a dry run."""
    async for request in requests:
        assert await assert_dry_run_predicts(service, request) == {}
        assert isinstance(await outcome(service, request, validate_only=True), Status)


@every_write
async def test_a_dry_run_returns_the_response_of_the_write_and_changes_nothing(service: Service, make: Maker) -> None:
    request = await make(service)
    assert await assert_dry_run_predicts(service, request) == request.growth


@every_resource
async def test_a_dry_run_of_an_update_returns_the_id_and_the_create_time(service: Service, case: Case) -> None:
    created = await case.create(service)
    message = type(created)(id=created.id, etag=created.etag, display_name="other")
    request = case.request("Update", validate_only=True, **{case.name: message})
    predicted = getattr(await case.method(service, "Update")(request), case.name)
    assert (predicted.id, predicted.create_time, predicted.display_name) == (created.id, created.create_time, "other")
    assert predicted.etag != created.etag
    assert await case.get(service, created.id) == created


@every_resource
async def test_a_dry_run_supports_allow_missing(service: Service, case: Case) -> None:
    message = await case.message(service)
    message.id = MISSING_ID
    deletion = case.request("Delete", id=MISSING_ID, allow_missing=True)
    assert await assert_dry_run_predicts(service, write(case, f"Delete{case.kind}", deletion, {})) == {}
    creating = case.request("Update", allow_missing=True, **{case.name: message})
    expected = (await creation(case)(service)).growth
    assert await assert_dry_run_predicts(service, write(case, f"Update{case.kind}", creating, {})) == expected


@pytest.mark.parametrize("case", [LOCATION, SPROCKET_TYPE, FACTORY], ids=lambda case: case.name)
async def test_a_dry_run_supports_force(service: Service, case: Case) -> None:
    sprocket = await create_sprocket(service)
    factory = await FACTORY.get(service, sprocket.factory_id)
    ids = {"location": factory.location_id, "sprocket_type": sprocket.sprocket_type_id, "factory": factory.id}
    await create_sprocket(service, factory_id=factory.id)
    request = case.request("Delete", id=ids[case.name], force=True)
    grown = await assert_dry_run_predicts(service, write(case, f"Delete{case.kind}", request, {}))
    assert (
        grown
        == {
            "location": {"location": -1, "factory": -1, "sprocket": -2, "chart_entry": -3, "audit_entry": 4},
            "sprocket_type": {"sprocket_type": -1, "sprocket": -1, "chart_entry": 1, "audit_entry": 2},
            "factory": {"factory": -1, "sprocket": -2, "chart_entry": -3, "audit_entry": 3},
        }[case.name]
    )


@every_resource
async def test_a_dry_run_returns_the_error_of_the_write(service: Service, case: Case) -> None:
    await assert_refused_alike(service, invalid_requests(service, case))


async def invalid_requests(service: Service, case: Case) -> AsyncIterator[Write]:
    """Make requests that are invalid, or that conflict with the stored data."""
    stale, message = await case.create(service), await case.message(service)
    changed = await case.update(service, type(stale)(id=stale.id, display_name="changed"))
    missing = type(stale)(id=MISSING_ID, display_name="x")
    long = type(stale)(id=stale.id, display_name="x" * 64)
    for refused in (stale, missing, long, *with_missing_references(changed)):
        yield write(case, f"Update{case.kind}", case.request("Update", **{case.name: refused}), {})
    mask = case.request("Update", update_mask={"paths": ["color"]}, **{case.name: changed})
    yield write(case, f"Update{case.kind}", mask, {})
    for refused in (long, *with_missing_references(message)):
        yield write(case, f"Create{case.kind}", case.request("Create", **{case.name: refused}), {})
    for fields in ({"id": "5"}, {"id": MISSING_ID}, {"id": stale.id, "etag": stale.etag}):
        yield write(case, f"Delete{case.kind}", case.request("Delete", **fields), {})
    for reference in REFERENCES:
        if reference.target is case:
            used = getattr(await reference.case.create(service), reference.field)
            yield write(case, f"Delete{case.kind}", case.request("Delete", id=used), {})


def with_missing_references(message: Any) -> list[Any]:
    """Return a copy of a message for each of its references, which refers to a missing resource in the copy."""
    copies = []
    for name in message.DESCRIPTOR.fields_by_name:
        if name.endswith("_id"):
            copies.append(type(message).FromString(message.SerializeToString()))
            setattr(copies[-1], name, MISSING_ID)
    return copies


@every_resource
async def test_a_dry_run_returns_the_error_of_a_batch_creation(service: Service, case: Case) -> None:
    await assert_refused_alike(service, invalid_batch_creations(service, case))


async def invalid_batch_creations(service: Service, case: Case) -> AsyncIterator[Write]:
    """Make batches with one invalid item, and an empty batch."""
    good = await case.message(service)
    batches = [[good, refused] for refused in (type(good)(display_name="x" * 64), *with_missing_references(good))]
    for messages in ([], *batches):
        request = case.request("BatchCreate", **{case.plural: messages})
        yield write(case, f"BatchCreate{case.kinds}", request, {})


async def test_a_dry_run_returns_the_error_of_a_batch_deletion(service: Service) -> None:
    await assert_refused_alike(service, invalid_batch_deletions(service))


async def invalid_batch_deletions(service: Service) -> AsyncIterator[Write]:
    """Make batches with one invalid id, and an empty batch."""
    yield write(SPROCKET, "BatchDeleteSprockets", SPROCKET.request("BatchDelete"), {})
    deletion = await MAKERS["BatchDeleteSprockets"](service)
    for identifier in ("5", MISSING_ID, deletion.request.ids[0]):
        deletion.request.ids.append(identifier)
        yield deletion
        deletion.request.ids.pop()


async def test_a_dry_run_refuses_a_request_id_of_another_request(service: Service) -> None:
    first, second = await MAKERS["CreateLocation"](service), await MAKERS["CreateSprocketType"](service)
    await first.send(service, request_id=MISSING_ID)
    dry_run = second.send(service, request_id=MISSING_ID, validate_only=True)
    assert await invalid(dry_run, "ERROR_REASON_REQUEST_ID_REUSED") == ["request_id"]
