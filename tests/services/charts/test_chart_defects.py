"""Regression tests for defects in the streams of charts."""

import asyncio

import pytest
from sqlalchemy import text

from sprocket_grpc.services.charts import history
from tests.services.charts.test_chart_range import LAST
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
)
from tests.support.locks import open_transaction, waiting_for
from tests.support.service import Service


async def test_a_chart_that_begins_in_a_resumed_stream_has_begins_before_start_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 3)
    monkeypatch.setattr(history, "PACKED_ENTRIES", 3)
    ids = [await factory_with(service, numbered([10, 20, 30, 40])), await factory_with(service, numbered([10, 30]))]
    fields = {"start_time": moment(15)}
    first, *_ = whole = await follow(service, ids, **fields)
    assert begun_before(whole) == set(ids)
    assert set(entries_by_factory([first])) == {ids[0]}
    rest = await follow(service, ids, **fields, resume_token=first.resume_token)
    assert begun_before(rest) == {ids[1]}


async def test_the_entry_in_force_is_sent_even_if_the_next_one_is_within_the_same_microsecond(
    service: Service,
) -> None:
    chart = numbered([10, 20])
    (response,) = await read(service, await factory_with(service, chart), start_time=moment(19, 1))
    assert entries_of([response]) == chart
    assert response.begins_before_start_time


async def test_a_range_shorter_than_a_microsecond_is_accepted(service: Service) -> None:
    chart = numbered([10, 20])
    factory_id = await factory_with(service, chart)
    assert entries_of(await read(service, factory_id, start_time=moment(12, 1), end_time=moment(12, 2))) == chart[:1]


async def test_entries_with_the_same_time_are_downsampled_in_any_year(service: Service) -> None:
    chart = [Entry(LAST, n, n) for n in range(100)]
    assert len(entries_of(await read(service, await factory_with(service, chart), max_points=12))) <= 12


async def test_the_entry_in_force_is_sent_even_if_an_entry_is_added_while_the_stream_opens(
    service: Service, database_url: str
) -> None:
    chart = numbered([10, 20])
    factory_id = await factory_with(service, chart)
    async with open_transaction(database_url, "LOCK TABLE chart_entry IN ACCESS EXCLUSIVE MODE") as transaction:
        reading = asyncio.create_task(read(service, factory_id, start_time=moment(1000)))
        await waiting_for(transaction)
        await transaction.execute(text("INSERT INTO chart_entry SELECT id, 3, 30, 3, 3 FROM factory"))
        await transaction.execute(text("UPDATE factory SET chart_sequence = 3, chart_time_micros = 30"))
        await transaction.commit()
        responses = await reading
    assert entries_of(responses) in (chart[1:], [Entry(30, 3, 3)])
    assert responses[0].begins_before_start_time
