"""The partitions of the audit log: made ahead, append-only, dropped when they are expired, and none is ever missing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.audit import first_id
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_definitions import partitions
from tests import ROOT
from tests.support.migrations import BEFORE_PARTITIONS, PARTITIONS

pytestmark = pytest.mark.slow

WRITE = """
INSERT INTO location (id, display_name, address, address_2, city, administrative_area, postal_code, country_code)
VALUES (gen_random_uuid(), 'a', 'b', '', 'c', '', 'd', 'CH')
"""
CREATE = text("SELECT create_audit_partitions()")
DROP = text("SELECT drop_expired_audit_partition(:days)")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection in which each statement is a transaction."""
    with create_plain_engine(database_url).connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def month_after(month: datetime) -> datetime:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def months(first: datetime, count: int) -> list[str]:
    """Return the names of the partitions of some months."""
    names = []
    for _ in range(count):
        names.append(f"audit_entry_{first:%Y_%m}")
        first = month_after(first)
    return names


def now_in(connection: Connection) -> datetime:
    now = connection.scalar(text("SELECT now()"))
    assert isinstance(now, datetime)
    return now.astimezone(UTC)


def entries(connection: Connection, table: str = "audit_entry") -> list[str]:
    return list(connection.scalars(text(f"SELECT id::text FROM {table} ORDER BY id")))  # noqa: S608  # our own


def add_entry(connection: Connection, time: str) -> None:
    statement = """
        INSERT INTO audit_entry
        VALUES (audit_entry_id((extract(epoch FROM :time ::timestamptz) * 1000000)::bigint), :time, 'a', '', '',
                'sprocket.v1.Location', gen_random_uuid(), NULL, NULL)
    """
    connection.execute(text(statement), {"time": time})


def place_of_newest(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT tableoid::regclass FROM audit_entry ORDER BY id DESC LIMIT 1")))


# Made ahead.


def test_a_new_log_has_a_partition_for_this_month_and_the_next_three(connection: Connection) -> None:
    ahead = months(now_in(connection), 4)
    assert partitions(connection) == [*ahead, "audit_entry_default", "audit_entry_first"]
    connection.execute(text(WRITE))
    assert place_of_newest(connection) == ahead[0]


def test_a_partition_begins_with_the_first_id_of_its_month(connection: Connection) -> None:
    start = connection.scalar(text("SELECT audit_partition_start('2026-12-01')::text"))
    first = first_id(int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1_000_000))
    before = first_id(int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1_000_000) - 1)
    assert before < str(start) < first


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_missing_months_are_made_with_their_guard_and_indexes(
    connection: Connection, database_url: str, missing: int
) -> None:
    expected = partitions(connection)
    connection.execute(text(f"DROP TABLE {expected[missing]}"))
    assert connection.scalar(CREATE) is False
    assert partitions(connection) == expected
    migrate.check(database_url)


def test_servers_that_make_partitions_at_once_make_each_once(connection: Connection, database_url: str) -> None:
    expected = partitions(connection)
    for name in expected[1:4]:
        connection.execute(text(f"DROP TABLE {name}"))

    def create(_: int) -> object:
        with create_plain_engine(database_url).begin() as server:
            server.execute(text("SET LOCAL lock_timeout = 0"))
            return server.scalar(CREATE)

    with ThreadPoolExecutor(4) as servers:
        failures = [each.exception() for each in [servers.submit(create, number) for number in range(4)]]
    assert all(each is None or "lock timeout" in str(each) for each in failures)
    assert None in failures
    assert partitions(connection) == expected


def test_writes_go_on_while_partitions_are_made(connection: Connection, database_url: str) -> None:
    connection.execute(text(f"DROP TABLE {partitions(connection)[3]}"))
    with create_plain_engine(database_url).connect() as writer:
        writer.execute(text(WRITE))  # holds its locks
        assert connection.scalar(CREATE) is False
        writer.execute(text(WRITE))
        writer.commit()
    assert len(entries(connection)) == 2


# No month.


def test_an_entry_without_a_month_is_kept_and_reported(connection: Connection) -> None:
    connection.execute(text(f"DROP TABLE {partitions(connection)[0]}"))
    connection.execute(text(WRITE))
    assert place_of_newest(connection) == "audit_entry_default"
    assert connection.scalar(CREATE) is True
    assert len(entries(connection)) == 1


def test_the_runbook_moves_entries_to_the_months_that_were_missing(connection: Connection, database_url: str) -> None:
    expected = partitions(connection)
    connection.execute(text(WRITE))
    connection.execute(text(f"DROP TABLE {expected[1]}, {expected[2]}"))
    for month in (expected[1], expected[2]):
        add_entry(connection, f"{month.removeprefix('audit_entry_').replace('_', '-')}-07 10:00:00+00")
    before = entries(connection)
    assert connection.scalar(CREATE) is True
    assert len(entries(connection, "audit_entry_default")) == 2
    runbook = (ROOT / "docs" / "runbooks.md").read_text().split("## SprocketAuditPartitionMissing")[1]
    for statement in runbook.split("```sql")[1].split("```")[0].split(";"):
        if statement.strip():
            connection.execute(text(statement))
    assert connection.scalar(CREATE) is False
    assert partitions(connection) == expected
    assert entries(connection) == before
    migrate.check(database_url)


# Append-only.


@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET method = ''", "TRUNCATE {}"])
def test_entries_cannot_be_changed_in_their_partition_either(connection: Connection, statement: str) -> None:
    for name in partitions(connection):
        with pytest.raises(DBAPIError, match="the audit log is append-only"):
            connection.execute(text(statement.format(name)))


# Dropped.


@pytest.fixture
def old(connection: Connection) -> Connection:
    """A log with two months of 2024, an entry in each of them and a new one. The owner keeps entries for 30 days."""
    connection.execute(text("DROP TABLE audit_entry_first"))
    for month in ("2024-05-01", "2024-06-01"):
        connection.execute(text("SELECT create_audit_partition(:month)"), {"month": month})
        add_entry(connection, f"{month} 10:00:00+00")
    connection.execute(text(WRITE))
    connection.execute(text("INSERT INTO audit_retention VALUES (30)"))
    return connection


def test_expired_partitions_are_dropped_the_oldest_first_and_no_others(old: Connection) -> None:
    [*_, newest] = before = entries(old)
    assert [old.scalar(DROP, {"days": 30}) for _ in range(3)] == ["audit_entry_2024_05", "audit_entry_2024_06", None]
    assert len(before) == 3
    assert entries(old) == [newest]


def test_a_partition_is_kept_until_its_newest_possible_entry_is_expired(old: Connection) -> None:
    days = (now_in(old) - datetime(2024, 6, 1, tzinfo=UTC)).days  # May ended so long ago
    assert old.scalar(DROP, {"days": days + 1}) is None
    assert old.scalar(DROP, {"days": days}) == "audit_entry_2024_05"
    assert old.scalar(DROP, {"days": days}) is None


@pytest.mark.parametrize("days", [20_000, 36_500, 700_000])  # before 2024, 1970 and year 1
def test_nothing_is_older_than_the_time_of_ids_or_of_the_calendar(old: Connection, days: int) -> None:
    assert old.scalar(DROP, {"days": days}) is None


@pytest.mark.parametrize("days", [29, 0, -1000, None])
def test_entries_are_not_dropped_earlier_than_the_owner_allows(old: Connection, days: int | None) -> None:
    with pytest.raises(DBAPIError, match="the owner of the audit log does not allow to drop entries"):
        old.scalar(DROP, {"days": days})


def test_entries_are_not_dropped_unless_the_owner_has_said_so(old: Connection) -> None:
    old.execute(text("DELETE FROM audit_retention"))
    with pytest.raises(DBAPIError, match="the owner of the audit log does not allow to drop entries"):
        old.scalar(DROP, {"days": 36_500})


def test_the_drop_gives_way_to_a_reader_so_that_writers_do_not_queue_behind_it(
    old: Connection, database_url: str
) -> None:
    with create_plain_engine(database_url).connect() as reader:
        reader.execute(text("SELECT count(*) FROM audit_entry"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            old.scalar(DROP, {"days": 30})
    assert old.scalar(DROP, {"days": 30}) == "audit_entry_2024_05"


# Databases of before.


def place_of_file(connection: Connection, table: str) -> object:
    return connection.scalar(text("SELECT pg_relation_filenode(:table)"), {"table": table})


def test_the_log_of_before_becomes_the_first_partition_without_a_copy(
    connection: Connection, database_url: str
) -> None:
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    connection.execute(text(WRITE))
    before, file = entries(connection), place_of_file(connection, "audit_entry")
    migrate.upgrade(database_url)
    assert place_of_file(connection, "audit_entry_first") == file
    after_next = month_after(month_after(now_in(connection)))
    assert partitions(connection) == [*months(after_next, 2), "audit_entry_default", "audit_entry_first"]
    connection.execute(text(WRITE))
    assert place_of_newest(connection) == "audit_entry_first"
    assert entries(connection)[:-1] == before
    migrate.check(database_url)
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    assert place_of_file(connection, "audit_entry") == file


def test_a_downgrade_keeps_the_entries_of_all_partitions_and_their_order(old: Connection, database_url: str) -> None:
    before = entries(old)
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    assert entries(old) == before
    with pytest.raises(DBAPIError, match="append-only"):
        old.execute(text("DELETE FROM audit_entry"))
    migrate.upgrade(database_url)
    assert entries(old) == before


def test_a_role_that_could_read_the_log_still_can(connection: Connection, database_url: str) -> None:
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    connection.execute(text("GRANT SELECT ON audit_entry TO PUBLIC, pg_monitor"))
    for change in (migrate.upgrade, lambda url: migrate.downgrade(url, BEFORE_PARTITIONS)):
        change(database_url)
        query = "SELECT grantee::regrole::text FROM pg_class, aclexplode(relacl) WHERE oid = 'audit_entry'::regclass"
        assert {"-", "pg_monitor"} <= set(connection.scalars(text(query)))


def test_an_interrupted_upgrade_can_be_run_again(connection: Connection, database_url: str) -> None:
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    connection.execute(text(WRITE))
    with create_plain_engine(database_url).connect() as reader:
        reader.execute(text("SELECT count(*) FROM audit_entry"))
        with pytest.raises(migrate.MigrationError, match="lock timeout"):
            migrate.upgrade(database_url, PARTITIONS)
    migrate.upgrade(database_url, PARTITIONS)
    connection.execute(  # it ended before this
        text("UPDATE alembic_version SET version_num = :revision"), {"revision": BEFORE_PARTITIONS}
    )
    migrate.upgrade(database_url)
    migrate.check(database_url)
    assert len(entries(connection)) == 1


def test_an_upgrade_that_fails_leaves_no_check_that_refuses_entries_of_later_months(
    connection: Connection, database_url: str
) -> None:
    migrate.downgrade(database_url, BEFORE_PARTITIONS)
    connection.execute(text(WRITE))
    connection.execute(text("CREATE TABLE audit_entry_default (id int)"))
    with pytest.raises(migrate.MigrationError, match="already exists"):
        migrate.upgrade(database_url)
    checks = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'audit_entry'::regclass AND contype = 'c'"
    assert connection.scalar(text(checks)) == 0
    connection.execute(text("DROP TABLE audit_entry_default"))
    migrate.upgrade(database_url)
    migrate.check(database_url)
