"""The purge of expired records: everything that is expired, in batches, without a pause between them."""

import asyncio

import pytest

from sprocket_grpc.server.cleanup import purging
from sprocket_grpc.telemetry.background import Background
from tests.support.books import query
from tests.support.service import Service

INTERVAL_SECONDS = 3599.0
"""So that it is found among all others that sleep."""

_EXPIRED = """
    INSERT INTO recorded_request (id, create_time, fingerprint, response)
    SELECT gen_random_uuid(), now() - interval '25 hours', '', '' FROM generate_series(1, :count)
"""


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
async def test_everything_that_is_expired_is_purged_before_the_next_pause(
    service: Service, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    await query(service, _EXPIRED, count=count)
    pauses, second, sleep = 0, asyncio.Event(), asyncio.sleep

    async def pause(seconds: float) -> None:
        nonlocal pauses
        if seconds != INTERVAL_SECONDS:
            await sleep(seconds)
        elif pauses:
            second.set()
            await sleep(seconds)
        else:
            pauses += 1

    monkeypatch.setattr("asyncio.sleep", pause)
    supervisor = Background()
    keeping = asyncio.create_task(supervisor.keep(purging(service.database, 24, INTERVAL_SECONDS)))
    try:
        async with asyncio.timeout(60):
            await second.wait()
        assert await query(service, "SELECT count(*) FROM recorded_request") == [(0,)]
        assert supervisor.restarts == {"purge-requests": 0}
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
