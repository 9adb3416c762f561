"""Headers that no library sends, and clients that are gone when they are answered: strangers cause both at any rate."""

import asyncio
import logging

import grpc
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


@pytest.mark.parametrize(
    ("error", "is_logged"), [(grpc.aio.InternalError("execute_batch"), False), (KeyError("ours"), True)]
)
@pytest.mark.usefixtures("service")
def test_of_what_grpc_logs_only_a_client_that_is_gone_is_left_out(
    caplog: pytest.LogCaptureFixture, error: Exception, *, is_logged: bool
) -> None:
    try:
        raise error
    except (grpc.aio.InternalError, KeyError):
        logging.getLogger("grpc._cython.cygrpc").exception("%s raised in core", type(error).__name__)
    assert ("Traceback" in caplog.text) == is_logged
