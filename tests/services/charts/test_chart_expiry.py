"""Charts whose oldest entries have expired: ranges and summaries begin with the first entry that is kept."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.books import query
from tests.support.charts import (
    Entry,
    begun_before,
    entries_by_factory,
    expire,
    factory_with,
    follow,
    moment,
    numbered,
    write_chart,
)
from tests.support.expired_charts import BASE, CHART, KEPT, Read, cut, read_range
from tests.support.resources import create_factory
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("layout")

# Ranges.


async def test_a_chart_begins_with_the_entry_in_force_at_the_cutoff(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    assert await read_range(service, factory_id) == Read(CHART, begins_before=False, retained_from=None)
    for sequence in (1, 2, 5, 7, 8, 14, 15, 30, 56, 57, 58, 60):
        entry = CHART[sequence - 1]
        await expire(service, factory_id, entry.micros + 9)
        expected = Read(
            CHART[sequence - 1 :], begins_before=False, retained_from=entry.micros if sequence > 1 else None
        )
        assert await read_range(service, factory_id) == expected


async def test_the_last_entry_never_expires_and_a_cutoff_that_goes_back_changes_nothing(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    assert await expire(service, factory_id, BASE + 9) == 0
    assert await expire(service, factory_id, BASE + 10**9) == len(CHART) - 1
    for cutoff in (BASE, BASE + 10**9):
        assert await expire(service, factory_id, cutoff) == 0
    assert (await read_range(service, factory_id)).entries == CHART[-1:]


async def test_entries_expire_a_few_at_a_time(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    expired = [await expire(service, factory_id, CHART[KEPT - 1].micros, most=8) for _ in range(5)]
    assert expired == [8, 8, 8, 5, 0]
    assert (await read_range(service, factory_id)).entries == CHART[KEPT - 1 :]


STARTS = {
    "before the first that has expired": (moment(BASE), CHART[KEPT - 1 :], False, True),
    "at one that has expired": (moment(CHART[9].micros), CHART[KEPT - 1 :], False, True),
    "right before the first that is kept": (moment(CHART[KEPT - 1].micros - 1, 999), CHART[KEPT - 1 :], False, True),
    "at the first that is kept": (moment(CHART[KEPT - 1].micros), CHART[KEPT - 1 :], False, True),
    "a nanosecond after it": (moment(CHART[KEPT - 1].micros, 1), CHART[KEPT - 1 :], True, False),
    "at the next": (moment(CHART[KEPT].micros), CHART[KEPT:], False, False),
    "after the next": (moment(CHART[KEPT].micros + 1), CHART[KEPT:], True, False),
    "after the last": (moment(BASE + 10**6), CHART[-1:], True, False),
}


@pytest.mark.parametrize("start", STARTS)
async def test_a_range_begins_with_the_first_entry_that_is_kept_and_says_so(service: Service, start: str) -> None:
    since, entries, begins_before, is_told = STARTS[start]
    factory_id = await cut(service)
    expected = Read(entries, begins_before, CHART[KEPT - 1].micros if is_told else None)
    assert await read_range(service, factory_id, start_time=since) == expected


@pytest.mark.parametrize("end", [BASE - 10, BASE + 155, CHART[KEPT - 1].micros])
async def test_a_range_that_ends_before_the_first_entry_that_is_kept_is_empty_and_says_so(
    service: Service, end: int
) -> None:
    factory_id = await cut(service)
    for fields in ({}, {"start_time": moment(BASE - 20)}, {"max_points": 6}):
        expected = Read([], begins_before=False, retained_from=CHART[KEPT - 1].micros)
        assert await read_range(service, factory_id, end_time=moment(end), **fields) == expected


async def test_a_summary_begins_with_the_first_entry_that_is_kept(service: Service) -> None:
    factory_id = await cut(service)
    for fields in ({}, {"start_time": moment(BASE)}, {"end_time": moment(CHART[-2].micros)}):
        summary = await read_range(service, factory_id, max_points=12, **fields)
        assert summary.entries[0] == CHART[KEPT - 1]
        assert set(summary.entries) < set(CHART[KEPT - 1 :])
        assert summary[1:] == (False, CHART[KEPT - 1].micros)


async def test_each_followed_chart_says_what_has_expired(service: Service) -> None:
    begun, whole, later = await cut(service), await factory_with(service, CHART), await cut(service)
    await expire(service, later, CHART[-1].micros)
    responses = await follow(service, [begun, whole, later], start_time=moment(CHART[KEPT - 1].micros))
    assert entries_by_factory(responses) == {begun: CHART[KEPT - 1 :], whole: CHART[KEPT - 1 :], later: CHART[-1:]}
    told = {each.factory_id: each.retained_from_time.ToMicroseconds() for each in responses[0].charts}
    assert told == {begun: CHART[KEPT - 1].micros, whole: 0, later: CHART[-1].micros}
    assert begun_before(responses) == set()


def nanoseconds(time: Timestamp) -> int:
    return time.seconds * 1_000_000_000 + time.nanos


def expected(chart: list[Entry], cutoff: int, start: Timestamp | None, end: Timestamp | None) -> Read:
    """Return the expected content of a range, from the documentation in the contract."""
    expired = max(sum(each.micros <= cutoff for each in chart) - 1, 0)
    kept = chart[expired:]
    since = 0 if start is None else nanoseconds(start)
    before = 2**63 if end is None else nanoseconds(end)
    inside = [each for each in kept if since <= 1000 * each.micros < before]
    older = [each for each in [each for each in kept if 1000 * each.micros <= since][-1:] if each not in inside]
    is_told = expired and since <= 1000 * kept[0].micros
    return Read(older + inside, bool(older), kept[0].micros if is_told else None)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_random_ranges_of_random_charts_that_have_begun_to_expire_follow_the_contract(
    service: Service, data: st.DataObject
) -> None:
    offsets = data.draw(st.lists(st.integers(0, 10), min_size=1, max_size=14).map(sorted))
    times = st.none() | st.builds(moment, st.integers(BASE - 3, BASE + 13), st.sampled_from([0, 1, 999]))
    start, end = data.draw(times), data.draw(times)
    if start and end and nanoseconds(start) >= nanoseconds(end):
        start = None
    cutoff = data.draw(st.integers(BASE - 1, BASE + 11))
    chart = numbered(BASE + offset for offset in offsets)
    found = await query(service, "SELECT id::text FROM factory")
    factory_id = str(found[0][0]) if found else (await create_factory(service)).id
    await write_chart(service, factory_id, chart)
    while await expire(service, factory_id, cutoff, most=data.draw(st.integers(1, 5))):
        pass
    fields = {"start_time": start, "end_time": end}
    assert await read_range(service, factory_id, **fields) == expected(chart, cutoff, start, end)
