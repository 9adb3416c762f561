"""Responses with many items end by bytes as well as by number, for any content."""

from typing import Any

import pytest

from sprocket_grpc.services.standard import pages
from sprocket_grpc.services.standard.validation import MOST_IN_BATCH
from tests.conformance.greatest import greatest, greatest_values
from tests.conformance.promises import invalid
from tests.conformance.rows import copy_rows, create_several
from tests.conformance.writes import dump
from tests.support.resources import CASES, MISSING_ID, Case
from tests.support.service import Service

CLIENT_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest message that clients accept by default."""

every_resource = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


async def responses_of(service: Service, case: Case, **fields: Any) -> list[Any]:
    """List all pages, and return their responses."""
    responses = [await case.method(service, "List")(case.request("List", **fields))]
    while token := responses[-1].next_page_token:
        request = case.request("List", page_token=token, **fields)
        responses.append(await case.method(service, "List")(request))
    return responses


def ids_of(case: Case, responses: list[Any]) -> list[str]:
    return [item.id for response in responses for item in getattr(response, case.plural)]


@pytest.fixture
def small_responses(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a response have 700 bytes of items, which is more than each of the resources here has."""
    monkeypatch.setattr(pages, "RESPONSE_BYTES", 700)
    return 700


@every_resource
async def test_pages_that_are_full_by_bytes_have_a_token_and_list_everything_once(
    service: Service, case: Case, small_responses: int
) -> None:
    created = await create_several(service, case, 20)
    for size in (0, 3, 1000):
        responses = await responses_of(service, case, page_size=size)
        assert len(responses) > 2
        assert ids_of(case, responses) == [each.id for each in created]
        for response in responses:
            token_bytes = type(response)(next_page_token=response.next_page_token).ByteSize()
            assert response.ByteSize() - token_bytes <= small_responses
            assert len(getattr(response, case.plural)) > 0


@every_resource
async def test_a_page_ends_by_bytes_in_every_order_and_with_a_filter(
    service: Service, case: Case, small_responses: int
) -> None:
    assert small_responses
    created = [each.id for each in await create_several(service, case, 12)]
    for fields in ({"order_by": "display_name desc"}, {"order_by": "id desc", "filter": "display_name:*"}):
        responses = await responses_of(service, case, page_size=1000, **fields)
        assert len(responses) > 1
        assert ids_of(case, responses) == created[::-1]


@every_resource
async def test_an_item_over_the_bound_is_a_page_of_its_own(
    service: Service, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "RESPONSE_BYTES", 1)
    created = await create_several(service, case, 3)
    responses = await responses_of(service, case)
    assert [ids_of(case, [response]) for response in responses] == [[each.id] for each in created]


@every_resource
async def test_a_page_of_the_greatest_resources_in_the_longest_order_fits_into_the_limit_of_clients(
    service: Service, case: Case
) -> None:
    await case.create(service, **greatest_values(case))
    await copy_rows(service, case, 1000)
    order = ",".join(field.name for field in case.descriptor.fields if field.name != "etag")
    responses = await responses_of(service, case, page_size=1000, order_by=order)
    assert len(set(ids_of(case, responses))) == len(ids_of(case, responses)) == 1001
    assert max(response.ByteSize() for response in responses) < CLIENT_LIMIT_BYTES


@every_resource
async def test_a_batch_get_that_would_be_too_large_is_refused(
    service: Service, case: Case, small_responses: int
) -> None:
    created = await create_several(service, case, 2)
    get = case.method(service, "BatchGet")
    fitting = case.request("BatchGet", ids=[created[0].id])
    assert (await get(fitting)).ByteSize() <= small_responses
    for ids in ([created[0].id] * 10, [each.id for each in created] * 5):
        assert await invalid(get(case.request("BatchGet", ids=ids))) == ["ids"]


@every_resource
async def test_a_batch_create_whose_response_would_be_too_large_creates_nothing(
    service: Service, case: Case, small_responses: int
) -> None:
    assert small_responses
    valid = await case.message(service)
    before = await dump(service)
    for more in ({}, {"validate_only": True}, {"request_id": MISSING_ID}):
        request = case.request("BatchCreate", **{case.plural: [valid] * 10}, **more)
        assert await invalid(case.method(service, "BatchCreate")(request)) == [case.plural]
        assert await dump(service) == before


@every_resource
def test_a_batch_of_the_greatest_resources_fits_as_documented(case: Case) -> None:
    response = case.pb.DESCRIPTOR.message_types_by_name[f"BatchGet{case.kinds}Response"]
    assert response.fields_by_number[1].name == case.plural
    size = MOST_IN_BATCH * (greatest(case).ByteSize() + pages.ITEM_BYTES)
    assert size <= pages.RESPONSE_BYTES, "the contract promises batches of 1,000: a new field must leave room for them"
