"""What pages of others can do with the server of their reader: nothing, unless their origin is listed."""

import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.config.settings import Settings
from tests.support.http import post, send
from tests.support.web import LOCATIONS, WebService, running_web_service

LIST, CREATE = f"{LOCATIONS}/ListLocations", f"{LOCATIONS}/CreateLocation"
APP = "https://app.example"
LISTED = Settings.model_validate({"web_origins": f"{APP},http://b.example:8080", "web_hosts": "sprockets.example"})
BODY = b'{"location":{"displayName":"A","address":"1","city":"C","postalCode":"1","countryCode":"US"}}'


async def count(web: WebService) -> int:
    return len((await web.locations.ListLocations(ListLocationsRequest())).locations)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@127.0.0.1.x", "[::1", "1.2.3", "[x]"],
)
async def test_another_name_is_misdirected_so_that_no_name_can_be_rebound(web: WebService, host: str) -> None:
    answered = await send(web.web, "POST", CREATE, BODY, host=host, content_type="application/json")
    assert answered.status == 421
    assert await count(web) == 0


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "a.localhost", "[::1]:8080", "10.0.0.1", "Sprockets.Example"]
)
async def test_an_address_and_a_listed_name_are_answered(database_url: str, host: str) -> None:
    async with running_web_service(database_url, LISTED) as web:
        assert (await post(web.web, LIST, {}, host=host)).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil", "http://app.example", ""]
)
async def test_a_page_of_another_origin_is_refused_and_has_no_effect(database_url: str, origin: str) -> None:
    async with running_web_service(database_url, LISTED) as web:
        answered = await send(web.web, "POST", CREATE, BODY, origin=origin, content_type="application/json")
        assert answered.status == 403
        assert "access-control-allow-origin" not in answered.headers
        assert await count(web) == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_form_has_no_effect_wherever_it_comes_from(web: WebService, kind: str) -> None:
    for origin in ({}, {"origin": f"http://{web.web}"}):
        assert (await send(web.web, "POST", CREATE, BODY, content_type=kind, **origin)).status == 415
    assert await count(web) == 0


async def test_a_page_cannot_embed_what_a_get_returns(web: WebService) -> None:
    target = f"{LIST}?encoding=json&message=%7B%7D"
    embedded = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}
    assert (await send(web.web, "GET", target, b"", **embedded)).status == 403
    framed = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}
    assert (await send(web.web, "GET", target, b"", **framed)).status == 403
    followed = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert (await send(web.web, "GET", target, b"", **followed)).status == 200


async def test_a_listed_origin_may_call_and_read(database_url: str) -> None:
    async with running_web_service(database_url, LISTED) as web:
        asked = {"origin": APP, "access_control_request_method": "POST"}
        allowed = await send(web.web, "OPTIONS", LIST, b"", **asked)
        assert allowed.status == 204
        assert allowed.headers["access-control-allow-origin"] == APP
        assert {"authorization", "content-type"} <= {*allowed.headers["access-control-allow-headers"].split(", ")}
        answered = await post(web.web, LIST, {}, origin=APP)
        assert answered.status == 200
        assert answered.headers["access-control-allow-origin"] == APP
        assert "x-request-id" in answered.headers["access-control-expose-headers"]
        assert "origin" in answered.headers["vary"]
        assert "access-control-allow-credentials" not in answered.headers


async def test_an_origin_that_is_not_listed_gets_no_preflight(web: WebService) -> None:
    answered = await send(web.web, "OPTIONS", LIST, origin=APP, access_control_request_method="POST")
    assert answered.status == 403
    assert "access-control-allow-origin" not in answered.headers


async def test_the_own_origin_may_call(web: WebService) -> None:
    answered = await post(web.web, LIST, {}, origin=f"http://{web.web}")
    assert answered.status == 200
    assert "access-control-allow-origin" not in answered.headers


@pytest.mark.parametrize("path", ["/", "/healthz/live", "/nothing", LIST])
async def test_every_response_says_what_browsers_must_not_do(web: WebService, path: str) -> None:
    for method in ("GET", "POST"):
        headers = (await send(web.web, method, path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
