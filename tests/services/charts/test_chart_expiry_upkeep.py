"""The background task that lets entries of charts expire: what it keeps, several servers at once, and SIGKILL."""

import asyncio
import logging
import sys
import time

import pytest

from sprocket_grpc.errors import AbortedError, DatabaseMisconfiguredError
from sprocket_grpc.services.charts.expiry import Expiry, expiring
from sprocket_grpc.services.charts.packing import Packer
from sprocket_grpc.storage import chart_expiry, chart_pages
from sprocket_grpc.telemetry.background import Background
from tests.support.books import query
from tests.support.charts import Entry, entries_of, factory_with, numbered, read
from tests.support.service import Service
from tests.support.waiting import until

pytestmark = pytest.mark.slow

DAYS = 30
DAY_MICROS = 86_400_000_000


def aged(entries: int) -> list[Entry]:
    """Make a chart that has ended just now, with an entry in the middle of each day before."""
    now = time.time_ns() // 1000
    return numbered(now - DAY_MICROS * day + DAY_MICROS // 2 for day in range(entries, 0, -1))


@pytest.fixture
async def allowed(service: Service) -> None:
    """The owner keeps entries of charts for a month."""
    await query(service, f"INSERT INTO chart_retention VALUES ({DAYS})")  # noqa: S608  # our own


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let seven entries expire at a time, and pages have ten."""
    monkeypatch.setattr(chart_expiry, "BATCH_ENTRIES", 7)
    monkeypatch.setattr(chart_pages, "PAGE_ENTRIES", 10)
    monkeypatch.setattr(chart_pages, "KEPT_ENTRIES", 3)


async def run_round(upkeep: Expiry | Packer) -> int:
    """Go through all factories once, and return what was done."""
    done = 0
    while (more := await upkeep.step()) is not None:
        done += more
    return done


@pytest.mark.usefixtures("allowed", "small_batches")
async def test_a_round_lets_all_entries_expire_but_for_the_one_in_force_and_says_how_many(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    chart, short = aged(100), aged(DAYS)
    old, packed, young = [await factory_with(service, each) for each in (chart, chart, short)]
    await query(service, "SELECT pack_chart(:id, 10, 3) FROM generate_series(1, 9)", id=packed)
    caplog.set_level(logging.INFO)
    assert await run_round(Expiry(service.database, DAYS)) == 2 * (100 - DAYS - 1)
    assert "138 entries of charts have expired: they were older than 30 days" in caplog.text
    for factory_id in (old, packed):
        assert entries_of(await read(service, factory_id)) == chart[-DAYS - 1 :]
    assert entries_of(await read(service, young)) == short
    assert await run_round(Expiry(service.database, DAYS)) == 0


@pytest.mark.usefixtures("allowed", "small_batches")
async def test_several_servers_at_once_let_entries_expire_and_pack_the_others(service: Service) -> None:
    chart = aged(200)
    charts = [await factory_with(service, chart) for _ in range(4)]

    async def keep() -> int:
        done = 0
        for upkeep in (Expiry(service.database, DAYS), Packer(service.database)):
            try:
                done += await run_round(upkeep)
            except AbortedError:
                done += 1  # another one had the lock for too long: begin again
        return done

    while sum(await asyncio.gather(*(keep() for _ in range(4)))):
        pass
    for factory_id in charts:
        assert entries_of(await read(service, factory_id)) == chart[-DAYS - 1 :]
    [(pages, rows)] = await query(
        service, "SELECT (SELECT count(*) FROM chart_page), (SELECT count(*) FROM chart_entry)"
    )
    assert (pages >= 4 * 2, rows < 4 * 20) == (True, True)


@pytest.mark.usefixtures("small_batches")
async def test_a_server_keeps_what_the_owner_keeps_and_logs_it(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    factory_id = await factory_with(service, chart := aged(100))
    for days, problem in {
        None: f"delete entries after {DAYS} days",
        DAYS + 1: f"delete entries after {DAYS} days",
    }.items():
        await query(service, "DELETE FROM chart_retention")
        if days:
            await query(service, f"INSERT INTO chart_retention VALUES ({days})")  # noqa: S608  # our own
        with pytest.raises(DatabaseMisconfiguredError):
            await run_round(Expiry(service.database, DAYS))
        assert problem in caplog.text
    assert entries_of(await read(service, factory_id)) == chart


@pytest.mark.usefixtures("allowed")
async def test_nothing_expires_while_servers_of_the_version_before_may_run(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    factory_id = await factory_with(service, chart := aged(100))
    await query(service, "DELETE FROM chart_expiry")
    with pytest.raises(DatabaseMisconfiguredError):
        await run_round(Expiry(service.database, DAYS))
    assert "no entries of charts may expire while servers of older versions run" in caplog.text
    assert entries_of(await read(service, factory_id)) == chart


@pytest.mark.usefixtures("allowed", "small_batches")
async def test_a_damaged_page_or_a_gap_does_not_hold_other_charts(service: Service) -> None:
    chart = aged(100)
    broken, whole = [await factory_with(service, chart) for _ in range(2)]
    await query(service, "SELECT pack_chart(:id, 100, 0)", id=broken)
    await query(service, "UPDATE chart_page SET wire = substr(wire, 1, 3)")
    task = asyncio.create_task(Background().keep(expiring(service.database, DAYS, interval_seconds=0.01)))

    async def has_expired() -> bool:
        return entries_of(await read(service, whole)) == chart[-DAYS - 1 :]

    try:
        await until(has_expired)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert await query(service, "SELECT factory_id::text FROM chart_start") == [(whole,)]


_EXPIRE_FOR_EVER = """
import asyncio, sys
from sprocket_grpc.services.charts.expiry import Expiry
from sprocket_grpc.storage import chart_expiry
from sprocket_grpc.storage.postgres.database import Database

async def main():
    chart_expiry.BATCH_ENTRIES = 50
    expiry = Expiry(Database(sys.argv[1]), 30)
    while True:
        await expiry.step()

asyncio.run(main())
"""


@pytest.mark.usefixtures("allowed")
async def test_an_expiry_that_was_killed_goes_on_where_it_was(service: Service, database_url: str) -> None:
    chart = aged(20_000)
    factory_id = await factory_with(service, chart)

    async def has_begun() -> bool:
        return bool(await query(service, "SELECT FROM chart_start"))

    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", _EXPIRE_FOR_EVER, database_url)
    try:
        await until(has_begun)
    finally:
        killed.kill()
        await killed.wait()
    [(first, least)] = await query(
        service, "SELECT first_sequence, (SELECT min(sequence) FROM chart_entry) FROM chart_start"
    )
    assert first == least
    assert entries_of(await read(service, factory_id)) == chart[first - 1 :]
    assert first - 1 + await run_round(Expiry(service.database, DAYS)) == len(chart) - DAYS - 1
    assert entries_of(await read(service, factory_id)) == chart[-DAYS - 1 :]
