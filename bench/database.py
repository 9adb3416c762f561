"""A PostgreSQL for measuring: fresh, gone in the end, and with charts as long as they are asked for."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, make_url, text

from bench.report import Progress
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.embedded import embedded_postgres
from sprocket_grpc.storage.embedded.account import account_for
from sprocket_grpc.storage.embedded.binaries import find_binaries
from sprocket_grpc.storage.embedded.pid_file import read_pid_file
from sprocket_grpc.storage.postgres.engine import create_plain_engine

_ENTRIES_AT_ONCE = 1_000_000

_EMPTY = text("DELETE FROM chart_entry WHERE factory_id = CAST(:factory_id AS uuid)")

# An entry a second, with numbers as a factory has them: some 14 bytes an entry on the wire. Larger ones take longer.
_FILL = text("""
    INSERT INTO chart_entry
    SELECT CAST(:factory_id AS uuid), n, 1700000000000000 + n * 1000000, 100000 + n / 1000, n
    FROM generate_series(CAST(:first AS bigint), :last) AS n
""")
_TELL_FACTORY = text("""
    UPDATE factory SET chart_sequence = sequence, chart_time_micros = time_micros,
        sprocket_production_goal = last.sprocket_production_goal,
        sprocket_production_actual = last.sprocket_production_actual
    FROM chart_entry AS last WHERE factory_id = factory.id AND id = CAST(:factory_id AS uuid) AND sequence = :entries
""")


# Ids of UUIDv7's shape, ascending as those that the service makes are.
_FILL_SPROCKETS = text("""
    INSERT INTO sprocket (id, display_name, sprocket_type_id, factory_id)
    SELECT CAST('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid), 'Sprocket ' || n,
        CAST(:sprocket_type_id AS uuid), CAST(:factory_id AS uuid)
    FROM generate_series(1, CAST(:count AS bigint)) AS n
""")


class Postgres(NamedTuple):
    """A running PostgreSQL with a migrated database.

    Attributes:
        pid: Its first process, whose children are the others.
        url: The SQLAlchemy URL of the database.
        programs: Where its own programs are, such as psql.
    """

    pid: int
    url: str
    programs: Path

    @property
    def connection_string(self) -> str:
        """The database in the words of psql and pgbench."""
        url = make_url(self.url)
        return f"host={url.query['host']} port={url.query['port']} user={url.username} dbname={url.database}"


@contextmanager
def fresh_postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL on a temporary directory until the block ends. It is durable: a commit waits for the disk."""
    directory = Path(tempfile.mkdtemp(prefix="sprocket-bench-"))
    directory.chmod(0o755)  # under root, PostgreSQL runs as another account
    data = directory / "data"
    try:
        with embedded_postgres(data) as url:
            migrate.upgrade(url)
            programs = find_binaries(account_for(data), None).directory
            yield Postgres(read_pid_file(data).pid, url, programs)
    finally:
        shutil.rmtree(directory)


def fill_chart(postgres: Postgres, factory_id: str, entries: int, progress: Progress) -> None:
    """Give a factory a chart of as many entries, and leave PostgreSQL nothing to clean up behind the measurements."""
    with _without_triggers(postgres) as connection:
        connection.execute(_EMPTY, {"factory_id": factory_id})
        for before in range(0, entries, _ENTRIES_AT_ONCE):
            upto = min(entries, before + _ENTRIES_AT_ONCE)
            with progress.step(f"filling a chart, {upto:,} of {entries:,} entries"):
                connection.execute(_FILL, {"factory_id": factory_id, "first": before + 1, "last": upto})
        connection.execute(_TELL_FACTORY, {"factory_id": factory_id, "entries": entries})
        with progress.step("vacuuming"):
            connection.execute(text("VACUUM (FREEZE, ANALYZE) chart_entry, factory"))
            connection.execute(text("CHECKPOINT"))


def fill_sprockets(postgres: Postgres, factory_id: str, sprocket_type_id: str, count: int, progress: Progress) -> None:
    """Make sprockets, which the factory does not count: for lists."""
    parameters = {"factory_id": factory_id, "sprocket_type_id": sprocket_type_id, "count": count}
    with _without_triggers(postgres) as connection, progress.step(f"making {count:,} sprockets"):
        connection.execute(_FILL_SPROCKETS, parameters)
        connection.execute(text("VACUUM (FREEZE, ANALYZE) sprocket"))


@contextmanager
def _without_triggers(postgres: Postgres) -> Iterator[Connection]:
    """Connect, each statement on its own, so that no row looks up what it refers to: that takes most of the time."""
    engine = create_plain_engine(postgres.url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        yield connection
