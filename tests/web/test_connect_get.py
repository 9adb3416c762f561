"""Calls by GET, which caches of browsers may keep and validate, and binary messages."""

import base64
import gzip
import json
from urllib.parse import quote

import pytest
from google.protobuf.message import Message

from sprocket.v1.location_pb2 import GetLocationRequest, GetLocationResponse
from sprocket_grpc.config.settings import Settings
from tests.support.callers import create_key
from tests.support.http import Answered, send
from tests.support.resources import MISSING_ID, create_location
from tests.support.web import LOCATIONS, WebService, running_web_service

GET = f"{LOCATIONS}/GetLocation"


async def get(web: WebService, query: str, **headers: str) -> Answered:
    return await send(web.web, "GET", f"{GET}?{query}", b"", **headers)


def as_json(identifier: str) -> str:
    return f"connect=v1&encoding=json&message={quote(json.dumps({'id': identifier}))}"


def as_binary(message: Message, **parameters: str) -> str:
    data = message.SerializeToString()
    if parameters.get("compression") == "gzip":
        data = gzip.compress(data)
    others = "".join(f"&{name}={value}" for name, value in parameters.items())
    return f"encoding=proto&base64=1&message={base64.urlsafe_b64encode(data).decode().rstrip('=')}{others}"


async def test_a_method_without_side_effects_is_called_by_get(web: WebService) -> None:
    location = await create_location(web)
    answered = await get(web, as_json(location.id))
    assert answered.json["location"]["id"] == location.id
    assert answered.headers["cache-control"] == "private, no-cache"
    assert {"authorization", "accept-encoding", "origin"} <= {*answered.headers["vary"].split(", ")}


@pytest.mark.parametrize("compression", ["identity", "gzip"])
async def test_the_message_of_a_get_may_be_binary_and_compressed(web: WebService, compression: str) -> None:
    location = await create_location(web)
    answered = await get(web, as_binary(GetLocationRequest(id=location.id), compression=compression))
    assert answered.headers["content-type"] == "application/proto"
    assert GetLocationResponse.FromString(answered.body).location == location


async def test_a_response_that_has_not_changed_is_not_sent_again(web: WebService) -> None:
    query = as_json((await create_location(web)).id)
    etag = (await get(web, query)).headers["etag"]
    again = await get(web, query, if_none_match=etag)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    among_others = await get(web, query, if_none_match=f'"x", {etag}', accept_encoding="gzip")
    assert among_others.status == 304
    other = await get(web, as_json((await create_location(web)).id), if_none_match=etag)
    assert other.status == 200


async def test_an_error_of_a_get_is_not_kept(web: WebService) -> None:
    answered = await get(web, as_json(MISSING_ID))
    assert (answered.status, answered.headers["cache-control"]) == (404, "no-store")
    assert "etag" not in answered.headers


async def test_a_cached_response_is_not_shown_to_a_caller_without_credentials(database_url: str) -> None:
    async with running_web_service(database_url, Settings(api_keys=True)) as web:
        bearer = f"Bearer {create_key(database_url, 'read').text}"
        query = "encoding=json&message=%7B%7D"
        target = f"{LOCATIONS}/ListLocations?{query}"
        answered = await send(web.web, "GET", target, b"", authorization=bearer)
        stranger = await send(web.web, "GET", target, b"", if_none_match=answered.headers["etag"])
        assert stranger.status == 401


async def test_a_binary_message_is_answered_by_a_binary_message(web: WebService) -> None:
    location = await create_location(web)
    request = GetLocationRequest(id=location.id).SerializeToString()
    answered = await send(web.web, "POST", GET, request, content_type="application/proto")
    assert answered.headers["content-type"] == "application/proto"
    assert GetLocationResponse.FromString(answered.body).location == location
    refused = await send(web.web, "POST", GET, b"\xff", content_type="application/proto")
    assert (refused.status, refused.headers["content-type"]) == (400, "application/json")
