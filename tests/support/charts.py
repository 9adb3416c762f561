"""Writes charts with given entries, and reads the histories of streams, with checks that apply to every stream."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from sprocket.v1 import factory_pb2 as pb
from sprocket_grpc.storage.chart_pages import LARGEST_PAGE
from tests.support.books import query
from tests.support.resources import create_factory
from tests.support.service import Service

INVALID_RESUME_TOKEN = "ERROR_REASON_INVALID_RESUME_TOKEN"  # noqa: S105  # no password

_WRITE = [
    "DELETE FROM chart_start WHERE factory_id = :factory_id",
    "DELETE FROM chart_page WHERE factory_id = :factory_id",
    "DELETE FROM chart_entry WHERE factory_id = :factory_id",
    """
    INSERT INTO chart_entry SELECT CAST(:factory_id AS uuid), number, micros, goal, actual
    FROM unnest(CAST(:micros AS bigint[]), CAST(:goals AS bigint[]), CAST(:actuals AS bigint[]))
        WITH ORDINALITY AS entry (micros, goal, actual, number)
    """,
    """
    UPDATE factory SET chart_sequence = sequence, chart_time_micros = time_micros,
        sprocket_production_goal = chart_entry.sprocket_production_goal,
        sprocket_production_actual = chart_entry.sprocket_production_actual
    FROM chart_entry WHERE id = :factory_id AND factory_id = id AND sequence = :entries
    """,
]


layout = "rows"
"""How charts are written: as "rows", or most of them in "pages" of a few entries."""


class Entry(NamedTuple):
    """An entry of a chart; its time is in microseconds since 1970."""

    micros: int
    goal: int
    actual: int


def moment(micros: int, nanos: int = 0) -> Timestamp:
    """Make a Timestamp from microseconds since 1970 and additional nanoseconds."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000 + nanos)


def numbered(times: Iterable[int]) -> list[Entry]:
    """Make a chart with entries at the given times, each with distinct numbers."""
    return [Entry(micros, 2**62 - number, 3 * number) for number, micros in enumerate(times, 1)]


async def write_chart(service: Service, factory_id: str, entries: Sequence[Entry]) -> None:
    """Replace the chart of a factory; in the layout "pages", seven pages or more, and some rows."""
    micros, goals, actuals = map(list, zip(*entries, strict=True))
    columns = {"micros": micros, "goals": goals, "actuals": actuals}
    for statement in _WRITE:
        needed = {name: column for name, column in columns.items() if f":{name}" in statement}
        counted = {"entries": len(entries)} if ":entries" in statement else {}
        await query(service, statement, factory_id=factory_id, **needed, **counted)

    if layout == "pages":
        await pack(service, factory_id, max(3, min(len(entries) // 8, LARGEST_PAGE)), kept=2)


async def pack(service: Service, factory_id: str, entries: int, kept: int = 0) -> None:
    """Pack the chart of a factory into pages of so many entries, but for the newest."""
    statement = "SELECT pack_chart(:factory_id, :entries, :kept)"
    parameters = {"factory_id": factory_id, "entries": entries, "kept": kept}
    while (await query(service, statement, **parameters))[0][0]:
        pass


async def expire(service: Service, factory_id: str, cutoff_micros: int, most: int = 1_000_000) -> int:
    """Let the entries of a chart expire that are older than the one in force at a time, and return how many did."""
    statement = "SELECT expire_chart_before(:factory_id, :cutoff, :most)"
    [(expired,)] = await query(service, statement, factory_id=factory_id, cutoff=cutoff_micros, most=most)
    return int(expired)


async def factory_with(service: Service, entries: Sequence[Entry]) -> str:
    """Create a factory with the given chart, and return its id."""
    factory_id = (await create_factory(service)).id
    await write_chart(service, factory_id, entries)
    return factory_id


async def read(service: Service, factory_id: str, **fields: Any) -> list[pb.GetFactoryChartResponse]:
    """Read a chart to its end, or with `follow` to the end of its history."""
    request = pb.GetFactoryChartRequest(factory_id=factory_id, **fields)
    call = service.factories.GetFactoryChart(request)
    responses = []
    async for response in call:
        responses.append(response)
        if request.follow and response.end_of_history:
            call.cancel()
            break
    with_entries = [each for each in responses if each.chart.time_micros]
    flagged = [each for each in responses if each.begins_before_start_time]
    assert flagged in ([], with_entries[:1])
    _assert_complete(responses)
    return responses


async def follow(service: Service, factory_ids: Sequence[str], **fields: Any) -> list[pb.FollowFactoryChartsResponse]:
    """Follow charts to the end of their histories."""
    call = service.factories.FollowFactoryCharts(pb.FollowFactoryChartsRequest(factory_ids=factory_ids, **fields))
    responses = []
    async for response in call:
        responses.append(response)
        if response.end_of_history:
            call.cancel()
            break
    begun = set[str]()
    for response in responses:
        here = [each.factory_id for each in response.charts]
        assert len(set(here)) == len(here)
        assert all(each.chart.time_micros for each in response.charts)
        assert begun.isdisjoint(each.factory_id for each in response.charts if each.begins_before_start_time)
        begun.update(here)
    _assert_complete(responses)
    return responses


def _assert_complete(
    responses: Sequence[pb.GetFactoryChartResponse] | Sequence[pb.FollowFactoryChartsResponse],
) -> None:
    assert [each.end_of_history for each in responses] == [False] * (len(responses) - 1) + [True]
    assert all(each.resume_token for each in responses)


def entries_of(responses: Iterable[pb.GetFactoryChartResponse]) -> list[Entry]:
    """Return all entries of a stream."""
    return [entry for each in responses for entry in _entries(each.chart)]


def entries_by_factory(responses: Iterable[pb.FollowFactoryChartsResponse]) -> dict[str, list[Entry]]:
    """Return all entries of a stream by factory, in the order in which the charts begin."""
    charts: dict[str, list[Entry]] = {}
    for each in (chart for response in responses for chart in response.charts):
        charts.setdefault(each.factory_id, []).extend(_entries(each.chart))
    return charts


def begun_before(responses: Iterable[pb.FollowFactoryChartsResponse]) -> set[str]:
    """Return the ids of factories whose charts begin with an entry from before the start_time."""
    return {each.factory_id for response in responses for each in response.charts if each.begins_before_start_time}


def _entries(chart: pb.FactoryChart) -> list[Entry]:
    columns = (chart.time_micros, chart.sprocket_production_goal, chart.sprocket_production_actual)
    return [Entry(*values) for values in zip(*columns, strict=True)]
