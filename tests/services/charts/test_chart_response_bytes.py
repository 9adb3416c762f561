"""Responses with charts fit into the message limit of clients, for any content and for slow clients."""

import uuid

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sprocket.v1 import factory_pb2 as pb
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.services.charts.history import CHUNK_ENTRIES, PACKED_ENTRIES
from sprocket_grpc.services.charts.resume_token import ResumeTokens
from sprocket_grpc.services.standard.pages import RESPONSE_BYTES
from sprocket_grpc.services.standard.token_cipher import TokenCipher
from sprocket_grpc.services.standard.validation import MOST_IN_BATCH
from sprocket_grpc.storage.chart_reads import Position
from tests.services.charts.test_chart_followers import SMALL_WINDOW, TICK_SECONDS, grow_chart
from tests.support.following import ChartsFollower
from tests.support.resources import create_factory
from tests.support.service import Service, running_service


def greatest_chart(entries: int) -> pb.FactoryChart:
    """Return entries whose every column is as large as numbers are on the wire: negative ones have ten bytes."""
    return pb.FactoryChart(**{column.name: [-1] * entries for column in pb.FactoryChart.DESCRIPTOR.fields})


async def greatest_token(service: Service) -> str:
    tokens = ResumeTokens(TokenCipher(service.database), pb.FollowFactoryChartsRequest())
    tokens.note({str(uuid.UUID(int=number)): Position(0, 0) for number in range(MOST_IN_BATCH)})
    return await tokens.next()


async def test_the_greatest_responses_with_charts_fit_into_the_limit_of_clients(service: Service) -> None:
    token, latest = await greatest_token(service), Timestamp(seconds=253_402_300_799, nanos=999_999_000)
    one = pb.GetFactoryChartResponse(
        chart=greatest_chart(max(CHUNK_ENTRIES, PACKED_ENTRIES)),
        resume_token=token,
        begins_before_start_time=True,
        end_of_history=True,
        retained_from_time=latest,
    )
    many = pb.FollowFactoryChartsResponse(resume_token=token, end_of_history=True)
    for number in range(MOST_IN_BATCH):
        chart = greatest_chart(CHUNK_ENTRIES // MOST_IN_BATCH)
        begun = {"begins_before_start_time": True, "retained_from_time": latest}
        many.charts.add(factory_id=str(uuid.UUID(int=number)), chart=chart, **begun)
    for response in (one, many):
        assert {field.name for field, _ in response.ListFields()} == set(response.DESCRIPTOR.fields_by_name)
        assert response.ByteSize() < RESPONSE_BYTES


@pytest.mark.slow
async def test_a_slow_follower_of_many_charts_gets_no_larger_response_than_others(database_url: str) -> None:
    """Several polls each read a chunk of another chart, and the follower reads none of them meanwhile."""
    settings = Settings(follow_tick_seconds=TICK_SECONDS)
    async with running_service(database_url, settings) as service:
        ids = [(await create_factory(service)).id for _ in range(8)]
        request = pb.FollowFactoryChartsRequest(factory_ids=ids)
        async with grpc.aio.insecure_channel(service.address, options=SMALL_WINDOW) as channel:
            slow = FactoryServiceStub(channel).FollowFactoryCharts(request)
            sizes = [await entries_of_next(slow)]
            async with ChartsFollower(service.channel, ids) as quick:
                await quick.until_entries(8)
                for number, factory_id in enumerate(ids, start=1):
                    await grow_chart(service, factory_id, CHUNK_ENTRIES)
                    await quick.until_entries(8 + number * CHUNK_ENTRIES)
            while sum(sizes) < 8 + 8 * CHUNK_ENTRIES:
                sizes.append(await entries_of_next(slow))
            slow.cancel()
        assert sum(sizes) == 8 + 8 * CHUNK_ENTRIES
        assert max(sizes) <= CHUNK_ENTRIES


async def entries_of_next(
    call: "grpc.aio.UnaryStreamCall[pb.FollowFactoryChartsRequest, pb.FollowFactoryChartsResponse]",
) -> int:
    response = await call.read()
    assert isinstance(response, pb.FollowFactoryChartsResponse)
    return sum(len(each.chart.time_micros) for each in response.charts)
