"""Requests that are refused before they are calls: each has details and a request id, is logged, and is counted."""

import logging
from typing import Any

import pytest

from sprocket_grpc.interceptors.access_log import REFUSED_LINES
from sprocket_grpc.telemetry.logs import FIELDS
from tests.support.command_line import serving
from tests.support.http import Answered, post, send
from tests.support.log_lines import ACCESS
from tests.support.ports import free_address
from tests.support.scraping import scrape
from tests.support.web import LOCATIONS, WebService

LIST, CREATE = f"{LOCATIONS}/ListLocations", f"{LOCATIONS}/CreateLocation"
UNSUPPORTED, FOREIGN = "ERROR_REASON_UNSUPPORTED_REQUEST", "ERROR_REASON_FOREIGN_PAGE"
MALFORMED = "ERROR_REASON_MALFORMED_REQUEST"

# For each refusal: a request, its status, its reason, and the method that it names.
REFUSED: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "host": ({"host": "evil.example"}, 421, FOREIGN, "/_OTHER"),
    "origin": ({"origin": "https://evil.example"}, 403, FOREIGN, "/_OTHER"),
    "path": ({"target": "/nothing"}, 404, UNSUPPORTED, "/_OTHER"),
    "HTTP method": ({"method": "PUT"}, 405, UNSUPPORTED, LIST),
    "HTTP method of a page": ({"target": "/healthz/live"}, 405, UNSUPPORTED, "/_OTHER"),
    "content type": ({"content_type": "text/plain"}, 415, UNSUPPORTED, LIST),
    "timeout": ({"connect_timeout_ms": "soon"}, 400, MALFORMED, LIST),
    "encoding": ({"content_encoding": "br"}, 501, UNSUPPORTED, LIST),
}
EACH_REFUSAL = pytest.mark.parametrize("name", REFUSED)


async def refused(address: str, name: str) -> Answered:
    """Send a request that is refused."""
    request = {"method": "POST", "target": LIST, "body": b"{}", "content_type": "application/json"} | REFUSED[name][0]
    return await send(address, x_request_id="mine", **request)


def access_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of the lines in the access log."""
    return [vars(each)[FIELDS] for each in caplog.records if each.name == ACCESS]


@EACH_REFUSAL
async def test_a_refusal_has_its_reason_and_a_request_id_and_is_logged(
    web: WebService, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, status, reason, method = REFUSED[name]
    with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
        answered = await refused(web.web, name)
    assert (answered.status, answered.headers["x-request-id"]) == (status, "mine")
    details = {each["type"]: each["debug"] for each in answered.json["details"]}
    assert details["google.rpc.ErrorInfo"]["reason"] == reason
    assert details["google.rpc.RequestInfo"] == {"requestId": "mine"}
    [line] = access_lines(caplog)
    assert (line["method"], line["code"].lower()) == (method, answered.json["code"])
    assert line["request_id"] == "mine"


@pytest.mark.slow
async def test_refusals_are_counted_by_their_reasons_and_are_no_calls(database_url: str) -> None:
    web = free_address()
    with serving(database_url=database_url, metrics_listen="127.0.0.1:0", web_listen=web) as served:
        for name in REFUSED:
            await refused(web, name)
        metrics = scrape(served)

    def counted(method: str, reason: str) -> float:
        labels = {"rpc_method": method, "sprocket_error_reason": reason}
        return metrics.value("sprocket_call_errors_total", **labels)

    assert counted("_OTHER", FOREIGN) == 2
    assert counted("_OTHER", UNSUPPORTED) == 2
    assert counted(LIST[1:], UNSUPPORTED) == 3
    assert counted(LIST[1:], MALFORMED) == 1
    assert metrics.value("rpc_server_call_duration_seconds_count") == 0


async def test_a_flood_of_refusals_is_logged_in_part(web: WebService, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sprocket_grpc.access"):
        for _ in range(100):
            await refused(web.web, "path")
    assert len(access_lines(caplog)) < 100
    assert len(access_lines(caplog)) >= REFUSED_LINES


async def test_what_a_refused_request_wants_has_no_effect(web: WebService) -> None:
    location = {"displayName": "A", "address": "1", "city": "C", "postalCode": "1", "countryCode": "US"}
    answered = await post(web.web, CREATE, {"location": location}, connect_timeout_ms="soon")
    assert answered.status == 400
    assert (await post(web.web, LIST, {})).json == {}
