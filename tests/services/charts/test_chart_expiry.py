"""Charts whose oldest entries have expired: ranges, summaries and tokens begin with the first entry that is kept."""

from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sprocket.v1.factory_pb2 import Factory, GetFactoryChartResponse, UpdateFactoryRequest
from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.services.charts import history, stream
from sprocket_grpc.services.charts.search import find_in_pages
from sprocket_grpc.services.charts.summary import read_summary
from sprocket_grpc.storage.chart_reads import SequenceRange
from tests.conformance.promises import refuses
from tests.support import charts
from tests.support.books import query
from tests.support.charts import (
    Entry,
    begun_before,
    entries_by_factory,
    entries_of,
    expire,
    factory_with,
    follow,
    moment,
    numbered,
    pack,
    read,
    write_chart,
)
from tests.support.production import delete_factory, get_factory
from tests.support.resources import create_factory
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("layout")

EXPIRED = "ERROR_REASON_CHART_EXPIRED"
BASE = 1_772_280_000_000_000
"""2026-02-28, noon: the times of today have eight bytes in a page."""

CHART = numbered(range(BASE + 10, BASE + 610, 10))
KEPT = 30
"""The sequence of the first entry that is kept of charts that were `cut`."""


async def cut(service: Service) -> str:
    """Create a factory, of whose chart the first entries have expired, and return its id."""
    factory_id = await factory_with(service, CHART)
    assert await expire(service, factory_id, CHART[KEPT - 1].micros + 5) == KEPT - 1
    return factory_id


class Read(NamedTuple):
    """What a stream has sent: its entries, whether the first is older than the range, and what it says of others."""

    entries: list[Entry]
    begins_before: bool
    retained_from: int | None


async def read_range(service: Service, factory_id: str, **fields: Any) -> Read:
    responses = await read(service, factory_id, **fields)
    begins_before = any(each.begins_before_start_time for each in responses)
    return Read(entries_of(responses), begins_before, retained_from(responses))


def retained_from(responses: Sequence[GetFactoryChartResponse]) -> int | None:
    """Return the time that the first response has of the first entry that is kept; others have none."""
    first, *others = [each.HasField("retained_from_time") for each in responses]
    assert not any(others)
    return responses[0].retained_from_time.ToMicroseconds() if first else None


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


# Tokens.


async def tokens_of(service: Service, factory_id: str, monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Return a resume token for each of some sequences."""
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 7)
    tokens, sent = {}, 0
    for response in await read(service, factory_id):
        sent += len(response.chart.time_micros)
        tokens[sent] = response.resume_token
    return tokens


async def test_a_stream_resumes_if_no_entry_after_the_token_has_expired(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory_id = await factory_with(service, CHART)
    for sequence, token in (await tokens_of(service, factory_id, monkeypatch)).items():
        await expire(service, factory_id, CHART[min(sequence, len(CHART) - 1)].micros)
        resumed = await read_range(service, factory_id, resume_token=token)
        assert resumed == Read(CHART[sequence:], begins_before=False, retained_from=None)


async def test_a_token_is_refused_if_an_entry_after_it_has_expired(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory_id = await factory_with(service, CHART)
    tokens = await tokens_of(service, factory_id, monkeypatch)
    for sequence, token in list(tokens.items())[:-2]:
        await expire(service, factory_id, CHART[sequence + 1].micros)
        for fields in ({}, {"follow": True}, {"max_points": 6}):
            with refuses(grpc.StatusCode.OUT_OF_RANGE, EXPIRED) as failure:
                await read(service, factory_id, resume_token=token, **fields)
            assert failure.info.metadata["factory_ids"] == factory_id


async def test_all_followed_charts_with_expired_entries_are_named_and_the_others_can_be_continued(
    service: Service,
) -> None:
    ids = [await factory_with(service, CHART[:20]) for _ in range(3)]
    token = (await follow(service, ids))[-1].resume_token
    for factory_id in ids:
        await write_chart(service, factory_id, CHART)
    for factory_id in ids[1:]:
        await expire(service, factory_id, CHART[-1].micros)
    with refuses(grpc.StatusCode.OUT_OF_RANGE, EXPIRED) as failure:
        await follow(service, ids, resume_token=token)
    assert failure.info.metadata["factory_ids"] == ",".join(ids[1:])
    assert entries_by_factory(await follow(service, ids[:1], resume_token=token)) == {ids[0]: CHART[20:]}


async def test_a_factory_that_comes_again_with_the_same_id_has_its_whole_chart(service: Service) -> None:
    factory_id = await cut(service)
    made = await get_factory(service, factory_id)
    await delete_factory(service, factory_id)
    again = Factory(id=factory_id, display_name=made.display_name, location_id=made.location_id)
    await service.factories.UpdateFactory(UpdateFactoryRequest(factory=again, allow_missing=True))
    found = await read_range(service, factory_id)
    assert (len(found.entries), found.retained_from) == (1, None)


# Entries that expire while they are read.


def before_each_read(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    """Do something after a stream has opened its charts, before it reads them and after each response."""

    async def read_history(*arguments: Any) -> AsyncGenerator[Any]:
        await work()
        async for chunks in history.read_history(*arguments):
            yield chunks
            await work()

    monkeypatch.setattr(stream, "read_history", read_history)


@pytest.mark.parametrize("fields", [{}, {"follow": True}, {"max_points": 12}], ids=str)
async def test_a_stream_begins_later_if_entries_expire_before_it_has_sent_any(
    service: Service, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    factory_id = await factory_with(service, CHART)
    before_each_read(monkeypatch, lambda: expire(service, factory_id, CHART[KEPT - 1].micros))
    found = await read_range(service, factory_id, **fields)
    assert (found.entries[0], found.retained_from) == (CHART[KEPT - 1], CHART[KEPT - 1].micros)


@pytest.mark.parametrize("fields", [{}, {"follow": True}], ids=str)
async def test_a_stream_ends_if_entries_expire_after_it_has_sent_others(
    service: Service, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 7)
    factory_id = await factory_with(service, CHART)
    number = count()

    async def expire_later() -> None:
        if next(number) == 1:
            await expire(service, factory_id, CHART[-1].micros)

    before_each_read(monkeypatch, expire_later)
    with refuses(grpc.StatusCode.OUT_OF_RANGE, EXPIRED) as failure:
        await read(service, factory_id, **fields)
    assert failure.info.metadata["factory_ids"] == factory_id


async def test_a_stream_whose_entries_expire_faster_than_they_are_read_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory_id = await factory_with(service, CHART)
    before_each_read(monkeypatch, lambda: expire(service, factory_id, CHART[-1].micros, most=8))
    with refuses(grpc.StatusCode.OUT_OF_RANGE, EXPIRED):
        await read(service, factory_id)


async def test_a_stream_of_a_factory_that_is_deleted_meanwhile_is_still_not_found(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory_id = await cut(service)
    before_each_read(monkeypatch, lambda: delete_factory(service, factory_id))
    with refuses(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_RESOURCE_NOT_FOUND"):
        await read(service, factory_id)


async def test_a_summary_whose_first_entries_expire_meanwhile_is_not_taken_for_one_of_the_range(
    service: Service,
) -> None:
    factory_id = await factory_with(service, CHART)
    number = count()

    class Expiring:
        """Lets entries expire between the reads of the ends and of the rest."""

        async def read(self, read: Any) -> Any:
            if next(number) == 1:
                await expire(service, factory_id, CHART[KEPT - 1].micros)
            return await service.database.read(read)

    with pytest.raises(NotFoundError):
        await read_summary(Expiring(), SequenceRange(factory_id, 0, len(CHART)), 0, 6)


async def test_a_page_that_expires_while_a_time_is_looked_for_in_it_is_not_missed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "layout", "pages")
    factory_id = await factory_with(service, CHART)
    waiting = [CHART[KEPT - 1].micros]

    async def late(*arguments: Any) -> Any:
        while waiting:
            await expire(service, factory_id, waiting.pop())
        return await find_in_pages(*arguments)

    monkeypatch.setattr(history, "find_in_pages", late)
    found = await read_range(service, factory_id, start_time=moment(CHART[9].micros + 5))
    assert found == Read(CHART[KEPT - 1 :], begins_before=False, retained_from=CHART[KEPT - 1].micros)


# Other work on the same charts.


async def test_entries_that_are_kept_are_packed_and_expire_later(service: Service) -> None:
    factory_id = await cut(service)
    for sequence in (KEPT, 37, 44, 50):
        await pack(service, factory_id, 5, kept=1)
        assert entries_of(await read(service, factory_id)) == CHART[max(sequence, KEPT) - 1 :]
        await expire(service, factory_id, CHART[min(sequence + 6, 49)].micros)
        assert entries_of(await read(service, factory_id)) == CHART[min(sequence + 6, 49) :]
    [(pages, rows)] = await query(
        service, "SELECT (SELECT count(*) FROM chart_page), (SELECT count(*) FROM chart_entry)"
    )
    assert (pages <= 3, rows <= 15) == (True, True)


async def test_a_factory_and_the_audit_log_do_not_change_when_entries_expire(service: Service) -> None:
    factory_id = await factory_with(service, CHART)
    log = "SELECT count(*) FROM audit_entry"
    before = await get_factory(service, factory_id), await query(service, log)
    await expire(service, factory_id, CHART[-1].micros)
    assert (await get_factory(service, factory_id), await query(service, log)) == before
