"""Pages of charts: the database writes what protobuf would, streams send it as it is, and damage is told."""

from collections.abc import Mapping
from typing import Any

import google_crc32c
import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sprocket.v1.factory_pb2 import FactoryChart, GetFactoryChartRequest, GetFactoryChartResponse
from sprocket_grpc.services.charts.pages import find_problem
from sprocket_grpc.storage import chart_pages
from sprocket_grpc.storage.chart_pages import Page, PageKey
from sprocket_grpc.storage.postgres.errors import UntranslatedError
from tests.support.books import query
from tests.support.charts import Entry, entries_of, factory_with, follow, moment, numbered, pack, read
from tests.support.errors import fails
from tests.support.resources import create_factory
from tests.support.service import Service

GOAL = st.integers(0, 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1) | st.integers(0, 2**21)
TIME = st.integers(-(2**63), 2**63 - 1) | st.integers(2**49 - 2, 2**49 + 2) | st.integers(2**56 - 2, 2**56 + 2)

CHART = numbered(range(10, 1010, 10))


async def pages_of(service: Service) -> list[Page]:
    stored = await service.database.read(chart_pages.read_pages_after(PageKey(chart_pages.NIL_ID, 0), 1000))
    assert [find_problem(each) for each in stored] == [None] * len(stored)
    return [each.page for each in stored]


def columns_of(entries: list[Entry]) -> FactoryChart:
    micros, goals, actuals = zip(*entries, strict=True)
    return FactoryChart(time_micros=micros, sprocket_production_goal=goals, sprocket_production_actual=actuals)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(st.builds(Entry, TIME, GOAL, COUNT), min_size=1, max_size=40))
@example(
    entries=[Entry(2**power - less, 2**power - less, 2**power - less) for power in range(1, 63) for less in (0, 1)]
)
@example(entries=[Entry(-1, 0, 0), Entry(0, 0, 0)])
async def test_a_page_has_the_bytes_that_protobuf_writes_and_their_checksum(
    service: Service, entries: list[Entry]
) -> None:
    entries.sort(key=lambda entry: entry.micros)
    factory_id = await factory_with(service, entries)
    await pack(service, factory_id, len(entries))
    [page] = [each for each in await pages_of(service) if each.factory_id == factory_id]
    assert (page.first_sequence, page.last_sequence) == (1, len(entries))
    assert page.wire == columns_of(entries).SerializeToString()
    assert page.checksum == google_crc32c.value(page.wire)
    assert entries_of(await read(service, factory_id)) == entries


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
async def test_versions_of_postgresql_without_crc32c_compute_the_same_checksum(
    service: Service, content: bytes
) -> None:
    statement = "SELECT chart_checksum(decode(:content, 'hex'))"
    assert await query(service, statement, content=content.hex()) == [(google_crc32c.value(content),)]


async def test_a_response_has_its_pages_and_rows_in_one_chart_field(service: Service) -> None:
    """protobuf.js keeps the last of two fields that are messages; other parsers join them."""
    factory_id = await factory_with(service, CHART)
    await pack(service, factory_id, 7, kept=5)
    wires = await wires_of(service, GetFactoryChartRequest(factory_id=factory_id))
    assert [fields_of(wire).count(GetFactoryChartResponse.CHART_FIELD_NUMBER) for wire in wires] == [1] * len(wires)
    assert entries_of(map(GetFactoryChartResponse.FromString, wires)) == CHART


def fields_of(wire: bytes) -> list[int]:
    """Return the numbers of the fields of a response, in their order."""
    fields: Any = UnknownFieldSet(Empty.FromString(wire))  # an iterable, which its stubs do not know
    return [field.field_number for field in fields]


async def wires_of(service: Service, request: GetFactoryChartRequest) -> list[bytes]:
    """Return the responses of a chart as they are on the wire."""
    call: Any = service.channel.unary_stream("/sprocket.v1.FactoryService/GetFactoryChart")
    return [wire async for wire in call(request.SerializeToString())]


async def test_a_page_within_the_range_is_sent_as_it_is_stored(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    await pack(service, factory_id, 10)
    wires = await wires_of(service, GetFactoryChartRequest(factory_id=factory_id, start_time=moment(155)))
    assert all(page.wire in b"".join(wires) for page in await pages_of(service) if page.first_sequence > 15)


async def test_a_factory_is_deleted_with_its_pages(service: Service) -> None:
    factory_id, other = await factory_with(service, CHART), await factory_with(service, CHART)
    for each in (factory_id, other):
        await pack(service, each, 10)
    await query(service, "DELETE FROM factory WHERE id = :id", id=factory_id)
    assert {page.factory_id for page in await pages_of(service)} == {other}


# Damage.

DAMAGES: Mapping[str, str] = {
    "another byte": "wire = set_byte(wire, 20, get_byte(wire, 20) # 1)",
    "another checksum": "checksum = checksum + 1",
    "its end lost": "wire = substr(wire, 1, 30)",
    "other entries": "wire = '', checksum = 0",
}


@pytest.fixture
async def damaged(service: Service, request: pytest.FixtureRequest) -> str:
    """A chart whose second of ten pages is damaged."""
    factory_id = await factory_with(service, CHART)
    await pack(service, factory_id, 10)
    await query(service, f"UPDATE chart_page SET {request.param} WHERE last_sequence = 20")  # noqa: S608  # our own
    return factory_id


@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=DAMAGES, indirect=True)
async def test_a_damaged_page_is_told_and_other_ranges_and_charts_are_read(
    service: Service, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = await factory_with(service, CHART)
    within = {"start_time": moment(150), "end_time": moment(170)}
    with fails(grpc.StatusCode.DATA_LOSS) as failure:
        await read(service, damaged, **within)
    assert failure.info.reason == "ERROR_REASON_CHART_DAMAGED"
    assert f"the chart of factory {damaged} is damaged from sequence 11 to 20" in caplog.text
    assert entries_of(await read(service, damaged, start_time=moment(210))) == CHART[20:]
    assert entries_of(await read(service, other, **within)) == CHART[14:16]
    assert len(await follow(service, [other])) == 1


@pytest.mark.parametrize("damaged", [DAMAGES["another byte"]], indirect=True)
async def test_a_damaged_page_is_not_sent_as_a_whole_either(service: Service, damaged: str) -> None:
    for fields in ({}, {"max_points": 90}):
        with fails(grpc.StatusCode.DATA_LOSS):
            await read(service, damaged, **fields)


async def test_a_chart_with_a_gap_is_not_packed(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    await query(service, "UPDATE factory SET chart_sequence = 20")
    with pytest.raises(UntranslatedError):
        await pack(service, factory_id, 10)
    assert await query(service, "SELECT sequence FROM chart_entry") == [(1,)]
