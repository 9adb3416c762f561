"""Resume tokens of charts: a stream resumes exactly after the response with the token, on any server."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import grpc
import pytest

from sprocket.v1.factory_pb2 import Factory, GetFactoryChartResponse, UpdateFactoryRequest
from sprocket_grpc.services.charts import history
from tests.conformance.promises import RESOURCE_NOT_FOUND, refuses
from tests.support.books import query
from tests.support.charts import (
    Entry,
    entries_by_factory,
    entries_of,
    factory_with,
    follow,
    moment,
    numbered,
    read,
    write_chart,
)
from tests.support.production import delete_factory, get_factory
from tests.support.resources import create_factory
from tests.support.service import Service, running_service

pytestmark = pytest.mark.usefixtures("layout")

LONG = numbered(range(10, 1000, 10))
SHORT = numbered([10, 20, 20, 30])
LATER = numbered([10, 20, 20, 30, 30, 40])
RANGES: Mapping[str, Mapping[str, Any]] = {
    "all": {},
    "from a start": {"start_time": moment(100)},
    "from between two entries": {"start_time": moment(105)},
    "to an end": {"end_time": moment(LONG[-1].micros)},
    "from a start to an end": {"start_time": moment(105), "end_time": moment(LONG[-2].micros)},
}


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit responses of all servers to a few entries, so that there are many resume tokens."""
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 7)
    monkeypatch.setattr(history, "PACKED_ENTRIES", 7)


@asynccontextmanager
async def two_servers(service: Service, url: str) -> AsyncIterator[Iterator[Service]]:
    """Run another server on the same database, and yield both servers in turns."""
    async with running_service(url) as other:
        yield cycle([other, service])


def token_of(responses: list[GetFactoryChartResponse]) -> str:
    return responses[-1].resume_token


async def replace(service: Service, factory_id: str) -> None:
    """Delete a factory and create another one with its id."""
    made = await get_factory(service, factory_id)
    await delete_factory(service, factory_id)
    again = Factory(id=factory_id, display_name=made.display_name, location_id=made.location_id)
    await service.factories.UpdateFactory(UpdateFactoryRequest(factory=again, allow_missing=True))


@pytest.mark.usefixtures("short_chunks")
async def test_a_long_stream_resumes_after_any_response_on_any_server(service: Service, database_url: str) -> None:
    factory_id = await factory_with(service, LONG)
    async with two_servers(service, database_url) as servers:
        for name, fields in RANGES.items():
            responses = await read(service, factory_id, **fields)
            assert len(responses) > 10
            for index, response in enumerate(responses, 1):
                rest = await read(next(servers), factory_id, **fields, resume_token=response.resume_token)
                assert entries_of(rest) == entries_of(responses[index:]), name
                assert not rest[0].begins_before_start_time


async def test_resuming_after_every_response_yields_the_complete_chart(service: Service) -> None:
    chart = numbered(range(2 * history.CHUNK_ENTRIES + 1))
    factory_id = await factory_with(service, chart)
    found: list[Entry] = []
    response = GetFactoryChartResponse()
    while not response.end_of_history:
        response = (await read(service, factory_id, resume_token=response.resume_token))[0]
        found.extend(entries_of([response]))
    assert found == chart


async def test_a_resumed_stream_without_new_entries_is_one_response_with_a_valid_token(service: Service) -> None:
    factory_id = await factory_with(service, SHORT)
    token = token_of(await read(service, factory_id))
    for _ in range(3):
        (response,) = await read(service, factory_id, resume_token=token)
        assert entries_of([response]) == []
        token = response.resume_token
    await write_chart(service, factory_id, LATER)
    assert entries_of(await read(service, factory_id, resume_token=token)) == LATER[4:]


@pytest.mark.usefixtures("short_chunks")
async def test_entries_added_in_between_are_history_of_the_resumed_stream(service: Service) -> None:
    factory_id = await factory_with(service, LONG[:30])
    token = token_of(await read(service, factory_id))
    await write_chart(service, factory_id, LONG)
    for following in (False, True):
        rest = await read(service, factory_id, follow=following, resume_token=token)
        assert entries_of(rest) == LONG[30:]


async def test_a_resumed_range_has_only_the_added_entries_within_the_range(service: Service) -> None:
    factory_id = await factory_with(service, SHORT)
    fields = {"start_time": moment(15), "end_time": moment(35)}
    responses = await read(service, factory_id, **fields)
    assert entries_of(responses) == SHORT
    await write_chart(service, factory_id, LATER)
    assert entries_of(await read(service, factory_id, **fields, resume_token=token_of(responses))) == LATER[4:5]


async def test_entries_added_in_between_are_sent_even_if_the_range_begins_later(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    for start in (31, 40, 1000):
        await write_chart(service, factory_id, SHORT)
        fields = {"start_time": moment(start), "follow": True}
        responses = await read(service, factory_id, **fields)
        assert entries_of(responses) == SHORT[-1:]
        await write_chart(service, factory_id, LATER)
        assert entries_of(await read(service, factory_id, **fields, resume_token=token_of(responses))) == LATER[4:]


async def test_a_resumed_stream_may_have_other_values_of_follow_and_max_points(service: Service) -> None:
    factory_id = await factory_with(service, SHORT)
    ways: list[dict[str, Any]] = [{}, {"follow": True}, {"max_points": 6}, {"max_points": 20_000, "follow": True}]
    for before in ways:
        await write_chart(service, factory_id, SHORT)
        token = token_of(await read(service, factory_id, **before))
        await write_chart(service, factory_id, LATER)
        for after in ways:
            assert entries_of(await read(service, factory_id, **after, resume_token=token)) == LATER[4:]


async def test_a_resumed_stream_does_not_repeat_the_entry_in_force(service: Service) -> None:
    factory_id = await factory_with(service, SHORT)
    fields = {"start_time": moment(15)}
    first = await read(service, factory_id, **fields)
    assert first[0].begins_before_start_time
    await write_chart(service, factory_id, LATER)
    (again,) = await read(service, factory_id, **fields, resume_token=token_of(first))
    assert entries_of([again]) == LATER[4:]
    assert not again.begins_before_start_time


@pytest.mark.usefixtures("short_chunks")
async def test_resuming_followed_charts_after_every_response_yields_complete_charts(
    service: Service, database_url: str
) -> None:
    charts = [LONG[:15], SHORT, LATER, LONG[:7], SHORT[:1], LONG]
    made = {await factory_with(service, chart): chart for chart in charts}
    found: dict[str, list[Entry]] = {factory_id: [] for factory_id in made}
    token = ""
    ends: list[bool] = []
    async with two_servers(service, database_url) as servers:
        while not any(ends):
            response = (await follow(next(servers), list(made), resume_token=token))[0]
            for factory_id, entries in entries_by_factory([response]).items():
                found[factory_id].extend(entries)
            token = response.resume_token
            ends.append(response.end_of_history)
    assert found == made
    assert len(ends) > 10


async def test_a_resumed_stream_may_omit_and_reorder_factories(service: Service) -> None:
    ids = [await factory_with(service, SHORT) for _ in range(3)]
    token = (await follow(service, ids))[-1].resume_token
    for factory_id in ids:
        await write_chart(service, factory_id, LATER)
    for some in (ids[:1], ids[1:], ids[::-1]):
        rest = entries_by_factory(await follow(service, some, resume_token=token))
        assert rest == dict.fromkeys(some, LATER[4:])


async def test_factories_that_are_not_in_the_token_begin_with_their_history(service: Service) -> None:
    known, added, left_out = [await factory_with(service, SHORT) for _ in range(3)]
    fields = {"start_time": moment(25)}
    token = (await follow(service, [known, left_out], **fields))[-1].resume_token
    await write_chart(service, known, LATER)
    responses = await follow(service, [added, known], **fields, resume_token=token)
    assert entries_by_factory(responses) == {added: SHORT[2:], known: LATER[4:]}
    assert [each.begins_before_start_time for each in responses[0].charts] == [True, False]
    again = await follow(service, [left_out, known, added], **fields, resume_token=responses[-1].resume_token)
    assert entries_by_factory(again) == {left_out: SHORT[2:]}  # which is not in the last token


async def test_a_token_of_a_thousand_factories_has_less_than_48_bytes_for_each(service: Service) -> None:
    template = await factory_with(service, SHORT)
    await query(service, _COPY_FACTORY, count=1000)
    await query(service, _COPY_CHART, template=template)
    await delete_factory(service, template)
    ids = [row[0] for row in await query(service, "SELECT id::text FROM factory")]
    responses = await follow(service, ids)
    assert entries_by_factory(responses) == dict.fromkeys(ids, SHORT)
    token = responses[-1].resume_token
    assert len(token) < 48 * len(ids)
    await write_chart(service, ids[700], LATER)
    assert entries_by_factory(await follow(service, ids, resume_token=token)) == {ids[700]: LATER[4:]}


_COPY_FACTORY = """
    INSERT INTO factory (id, display_name, location_id, sprocket_production_goal, sprocket_production_actual,
                         chart_sequence, chart_time_micros)
    SELECT gen_random_uuid(), display_name, location_id, sprocket_production_goal, sprocket_production_actual,
           chart_sequence, chart_time_micros
    FROM factory, generate_series(1, :count)
"""
_COPY_CHART = """
    INSERT INTO chart_entry
    SELECT id, sequence, time_micros, entry.sprocket_production_goal, entry.sprocket_production_actual
    FROM chart_entry AS entry, factory WHERE factory_id = :template AND id <> :template
"""


async def test_resuming_a_deleted_factory_is_not_found(service: Service) -> None:
    gone, other = [await factory_with(service, SHORT) for _ in range(2)]
    of_one = token_of(await read(service, gone))
    of_both = (await follow(service, [gone, other]))[-1].resume_token
    await delete_factory(service, gone)
    await assert_gone(service, gone, other, of_one, of_both)


@pytest.mark.parametrize("chart", [SHORT, LONG], ids=["as long", "longer"])
async def test_resuming_a_new_factory_with_the_same_id_is_not_found(service: Service, chart: list[Entry]) -> None:
    gone, other = [await factory_with(service, SHORT) for _ in range(2)]
    of_one = token_of(await read(service, gone))
    of_both = (await follow(service, [gone, other]))[-1].resume_token
    await replace(service, gone)
    await write_chart(service, gone, chart)
    await assert_gone(service, gone, other, of_one, of_both)
    assert entries_of(await read(service, gone)) == chart


async def assert_gone(service: Service, gone: str, other: str, of_one: str, of_both: str) -> None:
    """Check that a stream of the deleted factory cannot be resumed, and that a stream of the other one can."""
    resumed = [
        read(service, gone, resume_token=of_one),
        read(service, gone, resume_token=of_one, follow=True),
        follow(service, [other, gone], resume_token=of_both),
    ]
    for call in resumed:
        with refuses(grpc.StatusCode.NOT_FOUND, RESOURCE_NOT_FOUND) as failure:
            await call
        assert failure.info.metadata == {"resource_type": "sprocket.v1.Factory", "id": gone}
    assert entries_by_factory(await follow(service, [other], resume_token=of_both)) == {}


@pytest.mark.usefixtures("short_chunks")
async def test_concurrent_streams_can_resume_with_the_same_token(service: Service) -> None:
    factory_id = await factory_with(service, LONG)
    first, *rest = await read(service, factory_id)
    streams = [read(service, factory_id, resume_token=first.resume_token) for _ in range(4)]
    assert [entries_of(each) for each in await asyncio.gather(*streams)] == [entries_of(rest)] * 4
