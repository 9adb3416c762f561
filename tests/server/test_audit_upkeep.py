"""The upkeep of the audit log in the background: months are made ahead, and expired ones are dropped."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from sprocket_grpc.errors import DatabaseMisconfiguredError
from sprocket_grpc.server.audit_upkeep import AuditUpkeep
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_definitions import partitions
from sprocket_grpc.telemetry.background import Background
from tests.support.resources import create_location
from tests.support.service import Service
from tests.support.waiting import until

OLD_MONTHS = """
    DROP TABLE audit_entry_first;
    SELECT create_audit_partition('2024-05-01'), create_audit_partition('2024-06-01');
"""


def partitions_of(url: str) -> list[str]:
    with create_plain_engine(url).connect() as connection:
        return partitions(connection)


def change(url: str, statements: str) -> None:
    with create_plain_engine(url).begin() as connection:
        connection.execute(text(statements))


async def test_a_server_makes_the_missing_months_as_soon_as_it_runs(service: Service, database_url: str) -> None:
    complete = partitions_of(database_url)
    change(database_url, f"DROP TABLE {complete[3]}")
    keeping = asyncio.create_task(Background().keep(AuditUpkeep(service.database, None).task()))
    try:
        await until(lambda: partitions_of(database_url) == complete)
    finally:
        keeping.cancel()


async def test_all_expired_months_are_dropped_in_one_round(service: Service, database_url: str) -> None:
    change(database_url, OLD_MONTHS)
    change(database_url, "INSERT INTO audit_retention VALUES (30)")
    await AuditUpkeep(service.database, None).run()
    before = partitions_of(database_url)
    assert before[0] == "audit_entry_2024_05"
    await AuditUpkeep(service.database, 30).run()
    kept_since = datetime.now(UTC) - timedelta(days=30)
    assert partitions_of(database_url) == [name for name in before if name >= f"audit_entry_{kept_since:%Y_%m}"]


async def test_a_server_keeps_what_the_owner_keeps_and_logs_it(
    service: Service, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    change(database_url, OLD_MONTHS)
    with pytest.raises(DatabaseMisconfiguredError):
        await AuditUpkeep(service.database, 31).run()
    assert "the owner of the audit log does not allow to drop entries after 31 days" in caplog.text
    assert partitions_of(database_url)[0] == "audit_entry_2024_05"


async def test_a_failed_round_is_no_failure_of_the_task_and_another_one_follows(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: asyncio.Queue[float] = asyncio.Queue()
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.put_nowait(seconds)
        await sleep(0.01 if seconds == 60 else seconds)

    complete = partitions_of(database_url)
    change(database_url, "ALTER FUNCTION create_audit_partitions() RENAME TO gone")
    monkeypatch.setattr("sprocket_grpc.server.audit_upkeep.asyncio.sleep", pause)
    supervisor = Background()
    keeping = asyncio.create_task(supervisor.keep(AuditUpkeep(service.database, None).task(interval_seconds=3599)))
    try:
        async with asyncio.timeout(60):
            assert await pauses.get() == 60
            change(database_url, f"ALTER FUNCTION gone() RENAME TO create_audit_partitions; DROP TABLE {complete[3]}")
            while await pauses.get() != 3599:
                pass
        assert partitions_of(database_url) == complete
        assert supervisor.restarts == {"audit-partitions": 0}
    finally:
        keeping.cancel()


async def test_entries_without_a_month_are_reported_until_they_have_one(service: Service, database_url: str) -> None:
    upkeep = AuditUpkeep(service.database, None)
    await upkeep.run()
    assert upkeep.has_misplaced_entries is False
    change(database_url, f"DROP TABLE {partitions_of(database_url)[0]}")
    await create_location(service)
    await upkeep.run()
    assert upkeep.has_misplaced_entries is True


# The owner's record.


@pytest.mark.parametrize("days", [None, 400])
def test_migrating_records_how_long_entries_are_kept(database_url: str, days: int | None) -> None:
    migrate.upgrade(database_url, audit_retention_days=1)
    migrate.upgrade(database_url, audit_retention_days=days)
    with create_plain_engine(database_url).connect() as connection:
        recorded = connection.scalars(text("SELECT days FROM audit_retention")).all()
    assert recorded == ([] if days is None else [days])
