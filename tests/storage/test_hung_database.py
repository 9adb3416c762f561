"""A database that hangs, and answers no cancellation either."""

import asyncio

import grpc
import pytest

from sprocket.v1.location_pb2 import GetLocationRequest
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres import conversation, database
from tests.support.errors import fails
from tests.support.postgresql import new_postgres
from tests.support.resources import create_location
from tests.support.service import running_service
from tests.support.stopping import backends_of, stopped
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow


async def test_a_read_whose_cancellation_is_not_answered_ends_and_the_next_one_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "_CANCEL_SECONDS", 0.1)
    with new_postgres() as postgresql:
        migrate.upgrade(postgresql.url)
        async with running_service(postgresql.url) as service, asyncio.timeout(PATIENCE_SECONDS):
            request = GetLocationRequest(id=(await create_location(service)).id)
            await service.locations.GetLocation(request)  # keeps its connection
            with monkeypatch.context() as patch:
                patch.setattr(database, "_READ_SECONDS", 0.1)
                assert postgresql.process
                with stopped(postgresql.process.pid, *backends_of(postgresql)), fails(grpc.StatusCode.UNAVAILABLE):
                    await service.locations.GetLocation(request)
            await service.locations.GetLocation(request)
