"""A temporary PostgreSQL for measurements, and functions that fill it with charts and sprockets."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, make_url, text

from bench.report import Progress
from bench.resources import Resources
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.chart_pages import KEPT_ENTRIES, PAGE_ENTRIES
from sprocket_grpc.storage.embedded import embedded_postgres
from sprocket_grpc.storage.embedded.account import account_for
from sprocket_grpc.storage.embedded.binaries import find_binaries
from sprocket_grpc.storage.embedded.pid_file import read_pid_file
from sprocket_grpc.storage.postgres.engine import create_plain_engine

_ENTRIES_AT_ONCE = 1_000_000

_EMPTY = text("DELETE FROM chart_entry WHERE factory_id = ANY(CAST(:factory_ids AS uuid[]))")

# One entry per second, with realistic numbers: about 14 bytes per entry on the wire. Larger numbers take longer.
_FILL = text("""
    INSERT INTO chart_entry
    SELECT factory_id, n, 1700000000000000 + n * 1000000, 100000 + n / 1000, n
    FROM generate_series(CAST(:first AS bigint), :last) AS n, unnest(CAST(:factory_ids AS uuid[])) AS factory_id
    ORDER BY n
""")
_UPDATE_FACTORY = text("""
    UPDATE factory SET chart_sequence = sequence, chart_time_micros = time_micros,
        sprocket_production_goal = last.sprocket_production_goal,
        sprocket_production_actual = last.sprocket_production_actual
    FROM chart_entry AS last
    WHERE factory_id = factory.id AND id = ANY(CAST(:factory_ids AS uuid[])) AND sequence = :entries
""")
_PACK = text("SELECT pack_chart(CAST(:factory_id AS uuid), :entries, :kept)")


# Ids have the format of UUIDv7 and ascend, like those that the service creates.
_FILL_SPROCKETS = text("""
    INSERT INTO sprocket (id, display_name, sprocket_type_id, factory_id)
    SELECT CAST('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid), 'Sprocket ' || n,
        CAST(:sprocket_type_id AS uuid), CAST(:factory_id AS uuid)
    FROM generate_series(1, CAST(:count AS bigint)) AS n
""")


SPREAD_ID = "00000000-0000-7000-9000-"
"""The beginning of the ids of `spread_sprockets`; then follow a number and that of the client, in hexadecimal."""

_SPREAD = text(f"""
    INSERT INTO sprocket (id, display_name, sprocket_type_id, factory_id)
    SELECT CAST('{SPREAD_ID}' || lpad(to_hex(n), 8, '0') || lpad(to_hex(client), 4, '0') AS uuid), 'Spread',
        CAST(:sprocket_type_id AS uuid),
        (CAST(:factory_ids AS uuid[]))[1 + (n + client) % cardinality(CAST(:factory_ids AS uuid[]))]
    FROM generate_series(1, :number) AS n, unnest(CAST(:clients AS int[])) AS client
    RETURNING CAST(id AS text)
""")  # noqa: S608  # a constant only
_COUNT_SPREAD = text("""
    UPDATE factory SET sprocket_production_actual = 1000000 WHERE id = ANY(CAST(:factory_ids AS uuid[]))
""")


class Postgres(NamedTuple):
    """A running PostgreSQL with a migrated database.

    Attributes:
        pid: The postmaster, which is the parent of all other processes.
        url: The SQLAlchemy URL of the database.
        programs: The directory of its programs, such as psql.
    """

    pid: int
    url: str
    programs: Path

    @property
    def connection_string(self) -> str:
        """The connection string for psql and pgbench."""
        url = make_url(self.url)
        return f"host={url.query['host']} port={url.query['port']} user={url.username} dbname={url.database}"


@contextmanager
def fresh_postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL in a temporary directory until the block ends. It is durable: a commit waits for the disk."""
    directory = Path(tempfile.mkdtemp(prefix="sprocket-bench-"))
    directory.chmod(0o755)  # when root runs this, PostgreSQL runs as another user
    data = directory / "data"
    try:
        with embedded_postgres(data) as url:
            migrate.upgrade(url)
            programs = find_binaries(account_for(data), None).directory
            yield Postgres(read_pid_file(data).pid, url, programs)
    finally:
        shutil.rmtree(directory)


def fill_chart(postgres: Postgres, factory_id: str, entries: int, progress: Progress) -> None:
    """Give a factory a chart of `entries` entries."""
    fill_charts(postgres, [factory_id], entries, progress)


def fill_charts(postgres: Postgres, factory_ids: Sequence[str], entries: int, progress: Progress) -> None:
    """Give each factory a chart of `entries` entries, written in turn.

    It vacuums, so that no autovacuum disturbs the measurements.
    """
    parameters = {"factory_ids": [*factory_ids], "entries": entries}
    at_once = _ENTRIES_AT_ONCE // len(factory_ids)
    with _without_triggers(postgres) as connection:
        connection.execute(_EMPTY, parameters)
        for before in range(0, entries, at_once):
            upto = min(entries, before + at_once)
            with progress.step(f"filling {len(factory_ids)} charts, {upto:,} of {entries:,} entries each"):
                connection.execute(_FILL, parameters | {"first": before + 1, "last": upto})
        connection.execute(_UPDATE_FACTORY, parameters)
        with progress.step("vacuuming"):
            connection.execute(text("VACUUM (FREEZE, ANALYZE) chart_entry, factory"))
            connection.execute(text("CHECKPOINT"))


def pack_chart(postgres: Postgres, factory_id: str, progress: Progress) -> None:
    """Turn the rows of a chart into pages, and vacuum."""
    with _without_triggers(postgres) as connection, progress.step("packing the chart"):
        while connection.scalar(_PACK, {"factory_id": factory_id, "entries": PAGE_ENTRIES, "kept": KEPT_ENTRIES}):
            pass
        connection.execute(text("VACUUM (FREEZE, ANALYZE) chart_entry, chart_page"))
        connection.execute(text("CHECKPOINT"))


def fill_sprockets(postgres: Postgres, factory_id: str, sprocket_type_id: str, count: int, progress: Progress) -> None:
    """Insert sprockets for lists, without adding them to the factory's counter."""
    parameters = {"factory_id": factory_id, "sprocket_type_id": sprocket_type_id, "count": count}
    with _without_triggers(postgres) as connection, progress.step(f"inserting {count:,} sprockets"):
        connection.execute(_FILL_SPROCKETS, parameters)
        connection.execute(text("VACUUM (FREEZE, ANALYZE) sprocket"))


def spread_sprockets(postgres: Postgres, resources: Resources, clients: Sequence[int], number: int) -> list[str]:
    """Insert `number` sprockets for each client, spread over all factories, and return their ids.

    The counters of the factories are set higher, so that deletes do not make them negative.
    """
    factory_ids = {"factory_ids": resources.factory_ids}
    parameters = {"sprocket_type_id": resources.sprocket_type_id, "clients": [*clients], "number": number}
    with _without_triggers(postgres) as connection:
        connection.execute(_COUNT_SPREAD, factory_ids)
        ids = [*connection.scalars(_SPREAD, parameters | factory_ids)]
        connection.execute(text("VACUUM (FREEZE, ANALYZE) sprocket"))
        return ids


@contextmanager
def _without_triggers(postgres: Postgres) -> Iterator[Connection]:
    """Connect in autocommit mode without triggers and foreign-key checks, which would take most of the time."""
    engine = create_plain_engine(postgres.url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        yield connection
