"""Ranges of charts: the start is inclusive, the end is exclusive, and the entry in force at the start comes first.

Entries have microseconds, ranges have nanoseconds.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sprocket_grpc.services.charts.history import CHUNK_ENTRIES
from tests.support.books import query
from tests.support.charts import (
    Entry,
    begun_before,
    entries_by_factory,
    entries_of,
    factory_with,
    follow,
    moment,
    numbered,
    read,
    write_chart,
)
from tests.support.resources import create_factory
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("layout")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
LAST = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // MICROSECOND
NOON = (datetime(2026, 2, 28, 12, tzinfo=UTC) - EPOCH) // MICROSECOND

CHART = numbered([NOON, NOON + 10, NOON + 10, NOON + 10, NOON + 20])
ONE, TWO, THREE, FOUR, FIVE = CHART


class Read(NamedTuple):
    """The entries of a range, and whether the first one is older than the range."""

    entries: list[Entry]
    begins_before: bool


async def read_range(
    service: Service, factory_id: str, start: Timestamp | None = None, end: Timestamp | None = None
) -> Read:
    """Read a range; without a start from the first entry, without an end to the last entry."""
    responses = await read(service, factory_id, start_time=start, end_time=end)
    return Read(entries_of(responses), any(each.begins_before_start_time for each in responses))


STARTS = {
    "before the first": (moment(NOON - 1), Read(CHART, begins_before=False)),
    "at the first": (moment(NOON), Read(CHART, begins_before=False)),
    "right after the first": (moment(NOON + 1), Read(CHART, begins_before=True)),
    "right before entries with the same time": (moment(NOON + 9), Read(CHART, begins_before=True)),
    "at entries with the same time": (moment(NOON + 10), Read([TWO, THREE, FOUR, FIVE], begins_before=False)),
    "right after entries with the same time": (moment(NOON + 11), Read([FOUR, FIVE], begins_before=True)),
    "at the last": (moment(NOON + 20), Read([FIVE], begins_before=False)),
    "after the last": (moment(NOON + 21), Read([FIVE], begins_before=True)),
    "the last valid time": (moment(LAST, 999), Read([FIVE], begins_before=True)),
    "the first valid time": (moment(FIRST), Read(CHART, begins_before=False)),
}

ENDS = {
    "long before the first": (moment(FIRST + 1), []),
    "at the first": (moment(NOON), []),
    "right after the first": (moment(NOON + 1), [ONE]),
    "at entries with the same time": (moment(NOON + 10), [ONE]),
    "right after entries with the same time": (moment(NOON + 11), [ONE, TWO, THREE, FOUR]),
    "at the last": (moment(NOON + 20), [ONE, TWO, THREE, FOUR]),
    "after the last": (moment(NOON + 21), CHART),
    "the last valid time": (moment(LAST, 999), CHART),
}


async def test_a_range_begins_with_the_entry_in_force_at_its_start(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for name, (start, expected) in STARTS.items():
        assert await read_range(service, factory_id, start) == expected, name


async def test_the_end_of_a_range_is_exclusive(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for name, (end, expected) in ENDS.items():
        assert await read_range(service, factory_id, end=end) == Read(expected, begins_before=False), name


async def test_a_range_between_two_entries_has_only_the_entry_in_force(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    assert await read_range(service, factory_id, moment(NOON + 4), moment(NOON + 6)) == Read([ONE], begins_before=True)
    same_time = await read_range(service, factory_id, moment(NOON + 10), moment(NOON + 11))
    assert same_time == Read([TWO, THREE, FOUR], begins_before=False)


async def test_an_entry_is_before_a_start_that_is_a_nanosecond_later(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for nanos in (1, 500, 999):
        later = await read_range(service, factory_id, moment(NOON + 10, nanos))
        assert later == Read([FOUR, FIVE], begins_before=True)
    assert await read_range(service, factory_id, moment(NOON - 1, 999)) == Read(CHART, begins_before=False)


async def test_an_entry_is_before_an_end_that_is_a_nanosecond_later(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    for nanos in (1, 500, 999):
        assert (await read_range(service, factory_id, end=moment(NOON + 10, nanos))).entries == [ONE, TWO, THREE, FOUR]
        assert (await read_range(service, factory_id, end=moment(NOON + 9, nanos))).entries == [ONE]


async def test_a_range_before_the_first_entry_is_one_empty_response(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    (response,) = await read(service, factory_id, start_time=moment(NOON - 9), end_time=moment(NOON))
    assert entries_of([response]) == []
    assert response.end_of_history
    assert not response.begins_before_start_time


async def test_a_range_in_the_future_has_only_the_entry_in_force(service: Service) -> None:
    made = await create_factory(service, sprocket_production_goal=7)
    entries, begins_before = await read_range(service, made.id, moment(LAST - 9), moment(LAST))
    assert [(goal, actual) for _, goal, actual in entries] == [(7, 0)]
    assert begins_before


SPANS = [
    (1, CHUNK_ENTRIES),
    (1, CHUNK_ENTRIES + 1),
    (CHUNK_ENTRIES, 2 * CHUNK_ENTRIES),
    (5, 2 * CHUNK_ENTRIES + 4),
    (6, 2 * CHUNK_ENTRIES + 6),
]


async def test_a_range_across_chunks_is_complete_with_and_without_an_older_entry(service: Service) -> None:
    chart = numbered(range(10, 10 * (2 * CHUNK_ENTRIES + 10), 10))
    factory_id = await factory_with(service, chart)
    for first, last in SPANS:
        exact = await read_range(service, factory_id, moment(10 * first), moment(10 * last + 1))
        assert exact == Read(chart[first - 1 : last], begins_before=False)
        older = await read_range(service, factory_id, moment(10 * first + 1), moment(10 * last))
        assert older == Read(chart[first - 1 : last - 1], begins_before=True)


async def test_entries_added_to_a_range_are_in_the_next_read_of_the_range(service: Service) -> None:
    factory_id = await factory_with(service, CHART[:3])
    assert (await read_range(service, factory_id, end=moment(NOON + 15))).entries == CHART[:3]
    await write_chart(service, factory_id, CHART)
    assert (await read_range(service, factory_id, end=moment(NOON + 15))).entries == CHART[:4]


async def test_each_followed_chart_begins_with_the_entry_in_force(service: Service) -> None:
    charts = {
        "older": numbered([NOON, NOON + 20]),
        "exact": numbered([NOON - 1, NOON + 10, NOON + 10]),
        "later": numbered([NOON + 11]),
        "only older": numbered([NOON, NOON]),
    }
    ids = {name: await factory_with(service, chart) for name, chart in charts.items()}
    responses = await follow(service, list(ids.values()), start_time=moment(NOON + 10))
    got = entries_by_factory(responses)
    assert {name: got[ids[name]] for name in ids} == {
        "older": charts["older"],
        "exact": charts["exact"][1:],
        "later": charts["later"],
        "only older": charts["only older"][1:],
    }
    assert begun_before(responses) == {ids["older"], ids["only older"]}


def expected(chart: list[Entry], start: Timestamp | None, end: Timestamp | None) -> Read:
    """Return the expected content of a range, from the documentation in the contract."""
    since = moment(FIRST) if start is None else start
    before = moment(LAST, 999) if end is None else end
    inside = [each for each in chart if nanoseconds(since) <= 1000 * each.micros < nanoseconds(before)]
    in_force = [each for each in chart if 1000 * each.micros <= nanoseconds(since)][-1:]
    older = [each for each in in_force if each not in inside]
    return Read(older + inside, begins_before=bool(older))


def nanoseconds(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos


async def the_factory(service: Service) -> str:
    """Return the id of the factory that all examples share."""
    found = await query(service, "SELECT id::text FROM factory")
    return str(found[0][0]) if found else (await create_factory(service)).id


@pytest.mark.parametrize("base", [FIRST + 3, -5, NOON, LAST - 15], ids=["year 1", "1970", "2026", "year 9999"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example replaces the chart
)
@given(data=st.data())
async def test_random_ranges_of_random_charts_follow_the_contract(
    service: Service, base: int, data: st.DataObject
) -> None:
    offsets = data.draw(st.lists(st.integers(0, 10), min_size=1, max_size=12).map(sorted))
    micros = st.integers(base - 3, base + 13)
    times = st.none() | st.builds(moment, micros, st.sampled_from([0, 1, 500, 999]))
    start, end = data.draw(times), data.draw(times)
    if start and end and nanoseconds(start) >= nanoseconds(end):
        start = None
    chart = numbered(base + offset for offset in offsets)
    factory_id = await the_factory(service)
    await write_chart(service, factory_id, chart)
    assert await read_range(service, factory_id, start, end) == expected(chart, start, end)
