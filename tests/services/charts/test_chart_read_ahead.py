"""A stream reads one chunk ahead of its client, and nothing once the client is gone."""

import asyncio
from typing import Any

import pytest

from sprocket_grpc.services.charts import history
from sprocket_grpc.services.charts.history import Opening, read_history
from sprocket_grpc.services.charts.range import ChartRange
from sprocket_grpc.storage.chart_chunks import Chunk, SequenceRange
from sprocket_grpc.storage.postgres.reads import Read
from tests.support.resources import MISSING_ID

CHUNKS = 5


class Session:
    """A read session that counts reads, and answers as many as it may."""

    def __init__(self, answered: int) -> None:
        self.answered = answered
        self.began: list[int] = []
        self.cancelled = 0

    async def read(self, _: Read[Any]) -> Any:
        self.began.append(len(self.began))
        if len(self.began) > self.answered:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return [Chunk(SequenceRange(MISSING_ID, 0, 1), [0], [0], [0])]


def opened(session: Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(history, "CHUNK_ENTRIES", 1)
    several = [Opening(SequenceRange(MISSING_ID, 0, CHUNKS), 0, begins_before_start=False)]
    fake: Any = session
    return read_history(fake, ChartRange([MISSING_ID]), several)


async def test_a_stream_reads_one_chunk_ahead_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(CHUNKS)
    number = 0
    async for _ in opened(session, monkeypatch):
        number += 1
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(session.began) == min(number + 1, CHUNKS)
    assert number == CHUNKS


async def test_a_client_that_leaves_ends_the_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.all_tasks()  # those of this test, and what the calls of other tests have left
    for taken in (1, 2, 3):
        session = Session(taken)
        chunks = opened(session, monkeypatch)
        for _ in range(taken):
            await anext(chunks)
        async with asyncio.timeout(10):
            await chunks.aclose()
        assert (len(session.began), session.cancelled) == (taken + 1, 1)
    assert asyncio.all_tasks() <= before
