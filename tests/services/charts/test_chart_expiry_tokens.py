"""Tokens and streams of charts whose oldest entries expire, before or while they are read, packed and deleted."""

from collections.abc import AsyncGenerator, Callable
from itertools import count
from typing import Any

import grpc
import pytest

from sprocket.v1.factory_pb2 import Factory, UpdateFactoryRequest
from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.services.charts import history, stream
from sprocket_grpc.services.charts.search import find_in_pages
from sprocket_grpc.services.charts.summary import read_summary
from sprocket_grpc.storage.chart_chunks import SequenceRange
from tests.conformance.promises import refuses
from tests.support import charts
from tests.support.books import query
from tests.support.charts import (
    entries_by_factory,
    entries_of,
    expire,
    factory_with,
    follow,
    moment,
    pack,
    read,
    write_chart,
)
from tests.support.expired_charts import CHART, KEPT, Read, cut, read_range
from tests.support.production import delete_factory, get_factory
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("layout")

EXPIRED = "ERROR_REASON_CHART_EXPIRED"


# Tokens.


async def tokens_of(service: Service, factory_id: str, monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Return a resume token for each of some sequences."""
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 7)
    monkeypatch.setattr(history, "PACKED_ENTRIES", 7)
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
    monkeypatch.setattr(history, "PACKED_ENTRIES", 7)
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
