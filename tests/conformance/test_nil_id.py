"""The nil UUID is no id of a new resource; one that is stored since before that rule is like any other."""

from typing import Any

import grpc
import pytest

from tests.conformance.promises import RESOURCE_NOT_FOUND, invalid, refusal
from tests.conformance.writes import dump
from tests.support.books import query
from tests.support.resources import CASES, Case
from tests.support.service import Service

NIL = "00000000-0000-0000-0000-000000000000"
FIRST = "00000000-0000-0000-0000-000000000001"

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def put(service: Service, case: Case, message: Any, **fields: Any) -> Any:
    """Update a resource, or create it if it is missing."""
    request = case.request("Update", allow_missing=True, **{case.name: message}, **fields)
    return getattr(await case.method(service, "Update")(request), case.name)


async def store_with_nil(service: Service, case: Case) -> tuple[Any, Any]:
    """Create a resource, store a copy with the nil UUID as earlier versions could, and return the copy and it."""
    created = await case.create(service)
    await query(
        service,
        f"""
        INSERT INTO {case.name}
        SELECT copy.* FROM {case.name} AS original,
            jsonb_populate_record(original, jsonb_build_object('id', '{NIL}')) AS copy
        """,  # noqa: S608  # our own names
    )
    return await case.get(service, NIL), created


@every_resource
@pytest.mark.parametrize("more", [{}, {"validate_only": True}, {"request_id": FIRST}], ids=str)
async def test_the_nil_uuid_is_refused_as_the_id_of_a_new_resource(
    service: Service, case: Case, more: dict[str, Any]
) -> None:
    message = await case.message(service)
    message.id = NIL
    before = await dump(service)
    assert await invalid(put(service, case, message, **more)) == [f"{case.name}.id"]
    assert await dump(service) == before


@every_resource
async def test_the_nil_uuid_is_reported_together_with_other_violations(service: Service, case: Case) -> None:
    message = await case.message(service)
    message.id, message.display_name = NIL, "x" * 64
    assert f"{case.name}.display_name" in await invalid(put(service, case, message))
    message.ClearField("display_name")
    fields = await invalid(put(service, case, message))
    assert fields[0] == f"{case.name}.id"
    if case.name != "sprocket":  # whose name is optional
        assert fields[1:] == [f"{case.name}.display_name"]


@every_resource
async def test_the_id_after_the_nil_uuid_can_be_chosen(service: Service, case: Case) -> None:
    message = await case.message(service)
    message.id = FIRST
    assert (await put(service, case, message)).id == FIRST


@every_resource
async def test_a_missing_resource_with_the_nil_uuid_is_not_found(service: Service, case: Case) -> None:
    await refusal(case.get(service, NIL), grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND)


@every_resource
async def test_a_stored_resource_with_the_nil_uuid_is_the_first_of_a_list(service: Service, case: Case) -> None:
    both = await store_with_nil(service, case)
    for fields in ({}, {"order_by": "id"}, {"filter": "display_name:*"}):
        assert await case.page(service, **fields) == (list(both), "")
        first, token = await case.page(service, page_size=1, **fields)
        assert (first, await case.page(service, page_token=token, **fields)) == ([both[0]], ([both[1]], ""))
    response = await case.method(service, "List")(case.request("List", show_total_size=True))
    assert response.total_size == len(getattr(response, case.plural)) == 2


@every_resource
async def test_a_stored_resource_with_the_nil_uuid_can_be_changed_and_deleted(service: Service, case: Case) -> None:
    stored, second = await store_with_nil(service, case)
    stored.display_name = "Other"
    assert (await put(service, case, stored)).display_name == "Other"
    await case.delete(service, NIL)
    assert await case.page(service) == ([second], "")
