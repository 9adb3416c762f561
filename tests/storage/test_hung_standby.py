"""A standby that hangs: it accepts connections, and answers nothing."""

import asyncio

import pytest
from pydantic import SecretStr

from sprocket.v1.location_pb2 import GetLocationRequest
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres import database, read_router
from tests.support.postgresql import new_postgres, new_standby
from tests.support.resources import create_location
from tests.support.service import running_service
from tests.support.stopping import backends_of, stopped
from tests.support.waiting import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5 * PATIENCE_SECONDS)]


async def test_reads_that_wait_for_a_standby_that_hangs_are_answered_by_the_primary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_router, "_ANSWER_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(database, "_READ_SECONDS", 10 * PATIENCE_SECONDS)
    with new_postgres() as primary, new_standby(primary) as standby:
        migrate.upgrade(primary.url)
        settings = Settings(
            database_read_url=SecretStr(standby.url),
            database_url=SecretStr(primary.url),
            database_read_maximum_lag_seconds=PATIENCE_SECONDS,
        )
        async with running_service(primary.url, settings) as service:
            created = await create_location(service)
            await until(lambda: service.read_router.fresh == 1)
            get = service.locations.GetLocation
            assert standby.process
            with stopped(standby.process.pid, *backends_of(standby)):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await asyncio.gather(*(get(GetLocationRequest(id=created.id)) for _ in range(5)))
