"""Headers that no library sends."""

import asyncio
import logging

import pytest

from reliability.http2 import USUAL, connected, data, message, request_headers
from tests.support.service import Service

PATIENCE_SECONDS = 60


async def test_a_header_that_is_not_utf8_neither_fails_its_call_nor_writes_a_traceback(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    odd = [*USUAL, (b"x-odd", b"\xff\xfe")]
    async with connected(service.address) as client, asyncio.timeout(PATIENCE_SECONDS):
        await client.send(
            request_headers(1, "/sprocket.v1.LocationService/ListLocations", odd), data(1, message(b""), ends=True)
        )
        assert (await client.answer()).code == "OK"
    assert "Traceback" not in caplog.text
    assert "Invalid encoding" not in caplog.text
