"""Traces and metrics of calls by HTTP: they are those of gRPC, and name the protocol."""

import pytest

from tests.support.collector import collecting
from tests.support.http import send
from tests.support.web import LOCATIONS, running_web_service

EMPTY = b"\0\0\0\0\0"


@pytest.mark.parametrize(
    ("kind", "body", "system"),
    [
        ("application/json", b"{}", "connectrpc"),
        ("application/proto", b"", "connectrpc"),
        ("application/grpc-web", EMPTY, "grpc"),
    ],
)
async def test_the_span_of_a_call_names_its_protocol(database_url: str, kind: str, body: bytes, system: str) -> None:
    with collecting() as collector:
        async with running_web_service(database_url, collector.settings()) as web:
            assert (await send(web.web, "POST", f"{LOCATIONS}/ListLocations", body, content_type=kind)).status == 200
    [span] = collector.calls()
    assert (span.name, span.attributes["rpc.system.name"]) == (f"{LOCATIONS[1:]}/ListLocations", system)
