"""Fills a database with sprockets and chart entries, fast: in SQL, without triggers."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import text

from bench.report import Progress
from sprocket_grpc.storage.postgres.engine import create_plain_engine

FACTORIES = 100
TYPES = 100

FIRST_SECOND = 1_700_000_000
"""The Unix time of the first sprocket and of the start of every chart; then one sprocket and entry per second."""

_SPROCKETS_AT_ONCE = 1_000_000
_CHARTS_AT_ONCE = 10

# Ids are UUIDv7 in the order of creation, like those of the service.
_FUNCTION = """
    CREATE FUNCTION bench_id(kind int, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
        SELECT (lpad(to_hex(1700000000000 + number * 1000), 12, '0') || '7' || lpad(to_hex(kind), 3, '0')
                || '8' || lpad(to_hex(number), 15, '0'))::uuid
    $$
"""
_SMALL_TABLES = [
    """
    INSERT INTO location
    SELECT bench_id(1, 0), now(), now(), 'Springfield', '123 Main St', '', 'Springfield', '', '62701', 'US'
    """,
    """
    INSERT INTO sprocket_type
    SELECT bench_id(2, n), now(), now(), 'Type ' || n, 5, 1, 5, 6 FROM generate_series(1, :types) AS n
    """,
    """
    INSERT INTO factory
    SELECT bench_id(3, n), now(), now(), 'Works ' || n, bench_id(1, 0), 10, :sprockets / :factories,
           :entries / :factories, (:first_second + :entries / :factories) * CAST(1000000 AS bigint)
    FROM generate_series(1, :factories) AS n
    """,
]
_SPROCKETS = text("""
    INSERT INTO sprocket (id, create_time, update_time, display_name, sprocket_type_id, factory_id)
    SELECT bench_id(4, n), to_timestamp(:first_second + n), to_timestamp(:first_second + n), 'Cog ' || n,
           bench_id(2, 1 + n / :factories % :types), bench_id(3, 1 + n % :factories)
    FROM generate_series(CAST(:first AS bigint), :last) AS n
""")
_CHARTS = text("""
    INSERT INTO chart_entry SELECT bench_id(3, f), n, (:first_second + n) * CAST(1000000 AS bigint), 10, n
    FROM generate_series(CAST(:first AS bigint), :last) AS f,
         generate_series(CAST(1 AS bigint), :entries / :factories) AS n
""")
_INDEXES = text("""
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = 'sprocket'::regclass AND NOT indisprimary
""")


class Size(NamedTuple):
    """The size of a database."""

    sprockets: int
    entries: int


def fill(url: str, size: Size, progress: Progress) -> None:
    """Fill a migrated, empty database, and vacuum, so that no autovacuum disturbs the measurements."""
    engine = create_plain_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))  # no triggers, so no foreign keys either
        connection.execute(text("SET maintenance_work_mem = '1GB'"))
        connection.execute(text(_FUNCTION))
        parameters = {"first_second": FIRST_SECOND, "factories": FACTORIES, "types": TYPES} | size._asdict()
        for statement in _SMALL_TABLES:
            connection.execute(text(statement), parameters)
        indexes = connection.execute(_INDEXES).all()
        for name, _ in indexes:
            connection.execute(text(f"DROP INDEX {name}"))
        for first, last in _parts(size.sprockets, _SPROCKETS_AT_ONCE):
            with progress.step(f"sprockets, {last:,} of {size.sprockets:,}"):
                connection.execute(_SPROCKETS, parameters | {"first": first, "last": last})
        for name, definition in indexes:
            with progress.step(f"building {name}"):
                connection.execute(text(definition))
        for first, last in _parts(FACTORIES, _CHARTS_AT_ONCE):
            with progress.step(f"charts, {last} of {FACTORIES}"):
                connection.execute(_CHARTS, parameters | {"first": first, "last": last})
        with progress.step("vacuuming"):
            connection.execute(text("VACUUM (FREEZE, ANALYZE)"))
            connection.execute(text("CHECKPOINT"))


def _parts(count: int, at_once: int) -> Iterator[tuple[int, int]]:
    for before in range(0, count, at_once):
        yield before + 1, min(count, before + at_once)
