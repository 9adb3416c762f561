"""Calls by a plain POST of JSON."""

import asyncio
import gzip
import json

import pytest

from sprocket_grpc.config.settings import Settings
from tests.support.callers import create_key
from tests.support.http import post, send
from tests.support.resources import MISSING_ID, create_factory, create_location, location
from tests.support.web import FACTORIES, LOCATIONS, WebService, running_web_service

CREATE, GET, LIST = f"{LOCATIONS}/CreateLocation", f"{LOCATIONS}/GetLocation", f"{LOCATIONS}/ListLocations"


async def test_a_resource_is_created_and_read_as_json(web: WebService) -> None:
    fields = {"displayName": "Spring", "address": "1 St", "city": "S", "postalCode": "1", "countryCode": "US"}
    created = await post(web.web, CREATE, {"location": fields})
    assert (created.status, created.headers["content-type"]) == (200, "application/json")
    found = await post(web.web, GET, {"id": created.json["location"]["id"]})
    assert found.json == created.json
    assert found.json["location"].items() >= fields.items()


async def test_int64_is_a_string_and_a_time_is_rfc_3339(web: WebService) -> None:
    factory = await create_factory(web, sprocket_production_goal=7)
    found = (await post(web.web, f"{FACTORIES}/GetFactory", {"id": factory.id})).json["factory"]
    assert found["sprocketProductionGoal"] == "7"
    assert found["createTime"].endswith("Z")


async def test_an_error_has_the_status_the_code_and_readable_details(web: WebService) -> None:
    answered = await post(web.web, GET, {"id": MISSING_ID}, x_request_id="my-request")
    assert answered.status == 404
    assert answered.json["code"] == "not_found"
    details = {each["type"]: each for each in answered.json["details"]}
    assert details["google.rpc.ErrorInfo"]["debug"]["reason"] == "ERROR_REASON_RESOURCE_NOT_FOUND"
    assert details["google.rpc.RequestInfo"]["debug"]["requestId"] == "my-request"
    assert answered.headers["x-request-id"] == "my-request"
    assert not details["google.rpc.ErrorInfo"]["value"].endswith("=")


async def test_every_response_has_a_request_id(web: WebService) -> None:
    first, second = [await post(web.web, LIST, {}) for _ in range(2)]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_an_unknown_field_is_refused_and_named(web: WebService) -> None:
    answered = await post(web.web, GET, {"id": MISSING_ID, "colour": "red"})
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")
    problem = 'Message type "sprocket.v1.GetLocationRequest" has no field named "colour" at "GetLocationRequest".'
    assert answered.json["message"].endswith(problem)
    assert answered.json["details"][0]["debug"]["reason"] == "ERROR_REASON_MALFORMED_REQUEST"


async def test_a_caller_without_credentials_is_told_which_to_send(database_url: str) -> None:
    async with running_web_service(database_url, Settings(api_keys=True)) as web:
        answered = await post(web.web, LIST, {})
        assert (answered.status, answered.json["code"]) == (401, "unauthenticated")
        assert answered.headers["www-authenticate"] == "Bearer"
        key = create_key(database_url, "read")
        assert (await post(web.web, LIST, {}, authorization=f"Bearer {key.text}")).status == 200
        refused = await post(web.web, CREATE, {}, authorization=f"Bearer {key.text}")
        assert (refused.status, refused.json["code"]) == (403, "permission_denied")


async def test_a_rate_limit_is_shared_with_grpc_and_says_when_to_retry(database_url: str) -> None:
    async with running_web_service(database_url, Settings(rate_limit="1/hour")) as web:
        await create_location(web)  # by gRPC
        answered = await post(web.web, LIST, {})
        assert (answered.status, answered.json["code"]) == (429, "resource_exhausted")
        assert 1 <= int(answered.headers["retry-after"]) <= 3601


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_request_may_be_compressed(web: WebService, encoding: str) -> None:
    body = json.dumps({"id": MISSING_ID}).encode()
    data = gzip.compress(body) if encoding == "gzip" else body
    headers = {"content_type": "application/json", "content_encoding": encoding}
    answered = await send(web.web, "POST", GET, data, **headers)
    assert answered.json["code"] == "not_found"


@pytest.mark.parametrize(("accepted", "used"), [("gzip, br", "gzip"), ("br", None), ("gzip;q=0", None)])
async def test_a_long_response_is_compressed_for_clients_that_accept_it(
    web: WebService, accepted: str, used: str | None
) -> None:
    for _ in range(8):
        await create_location(web)
    answered = await post(web.web, LIST, {}, accept_encoding=accepted)
    assert answered.headers.get("content-encoding") == used
    body = gzip.decompress(answered.body) if used else answered.body
    assert len(json.loads(body)["locations"]) == 8


async def test_a_deadline_that_passes_ends_the_call(web: WebService) -> None:
    answered = await post(web.web, LIST, {}, connect_timeout_ms="0")
    assert (answered.status, answered.json["code"]) == (504, "deadline_exceeded")


async def test_large_requests_do_not_hold_up_others(web: WebService) -> None:
    many = {"ids": ["x" * 30] * 60_000}
    refused, *others = await asyncio.gather(
        post(web.web, f"{FACTORIES}/BatchGetFactories", many), *(post(web.web, LIST, {}) for _ in range(5))
    )
    assert refused.json["code"] == "invalid_argument"
    assert {each.status for each in others} == {200}


async def test_text_is_not_escaped_in_json(web: WebService) -> None:
    created = await create_location(web, display_name="Zürich")
    assert "Zürich".encode() in (await post(web.web, GET, {"id": created.id})).body
    assert location().display_name
