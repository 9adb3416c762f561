"""What is inside a resume token, which servers of another version read too, and what it costs to make one."""

import struct
import uuid
from collections.abc import AsyncIterator

import pytest

from sprocket.v1 import factory_pb2 as pb
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.services.charts import resume_token
from sprocket_grpc.services.standard.requests import digest
from sprocket_grpc.services.standard.token_cipher import TokenCipher
from tests.support.books import query
from tests.support.charts import factory_with, follow, numbered
from tests.support.following import ChartsFollower
from tests.support.resources import create_sprocket
from tests.support.service import Service, running_service

_STATE = "SELECT id, CAST(date_part('epoch', create_time) * 1000000 AS bigint), chart_sequence FROM factory"

_POSITION = struct.Struct(">16sqq")

_CHART = numbered(range(10, 30, 10))


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A server with a short poll interval."""
    async with running_service(database_url, Settings(follow_tick_seconds=0.02)) as running:
        yield running


async def content(service: Service, token: str) -> list[tuple[bytes, int, int]]:
    """Return the positions in a token: of each factory its id, when it was created, and the last sequence."""
    decrypted = await TokenCipher(service.database).decrypt(digest(pb.FollowFactoryChartsRequest(), []), token)
    return sorted(_POSITION.iter_unpack(decrypted))


async def state(service: Service) -> list[tuple[bytes, int, int]]:
    """Return the same of the factories in the database."""
    return sorted((uuid.UUID(str(each)).bytes, created, end) for each, created, end in await query(service, _STATE))


async def test_a_token_has_the_last_position_of_each_chart_after_any_number_of_changes(service: Service) -> None:
    ids = [await factory_with(service, _CHART) for _ in range(3)]
    async with ChartsFollower(service.channel, ids) as follower:
        await follower.until_entries(6)
        assert await content(service, follower.responses[-1].resume_token) == await state(service)
        for number, factory_id in enumerate([ids[1], ids[2], ids[1]], start=7):
            await create_sprocket(service, factory_id=factory_id)
            await follower.until_entries(number)
            assert await content(service, follower.responses[-1].resume_token) == await state(service)


async def test_a_resumed_stream_keeps_the_positions_of_charts_that_have_not_changed(service: Service) -> None:
    ids = [await factory_with(service, _CHART) for _ in range(3)]
    token = (await follow(service, ids))[-1].resume_token
    await create_sprocket(service, factory_id=ids[2])
    resumed = (await follow(service, ids, resume_token=token))[-1]
    assert await content(service, resumed.resume_token) == await state(service)
    some = (await follow(service, ids[:1], resume_token=token))[-1]
    assert [each[0] for each in await content(service, some.resume_token)] == [uuid.UUID(ids[0]).bytes]


async def test_a_change_of_one_chart_encodes_the_position_of_no_other(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await factory_with(service, _CHART) for _ in range(20)]
    encoded: list[bytes] = []

    class Recorded:
        """Records what is encoded."""

        def pack(self, factory_id: bytes, *position: int) -> bytes:
            encoded.append(factory_id)
            return _POSITION.pack(factory_id, *position)

    async with ChartsFollower(service.channel, ids) as follower:
        await follower.until(lambda: any(each.end_of_history for each in follower.responses))
        monkeypatch.setattr(resume_token, "_POSITION", Recorded())
        for number in range(1, 6):
            await create_sprocket(service, factory_id=ids[0])
            await follower.until_entries(2 * len(ids) + number)
    assert set(encoded) == {uuid.UUID(ids[0]).bytes}
