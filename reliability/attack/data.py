"""Fills the database with what expensive calls need: many sprockets, a long chart, many charts."""

from pathlib import Path

from sqlalchemy import text

from bench.database import Postgres, fill_chart, fill_sprockets
from bench.report import Progress
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed

_FACTORIES = text("SELECT id FROM factory ORDER BY id")
_TYPES = text("SELECT id FROM sprocket_type ORDER BY id")

_ADD_FACTORIES = text("""
    WITH added AS (
        INSERT INTO factory (id, display_name, location_id, sprocket_production_goal, sprocket_production_actual,
            chart_sequence, chart_time_micros)
        SELECT CAST('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0') AS uuid), 'Factory ' || n,
            (SELECT id FROM location LIMIT 1), 0, 0, 1, 1
        FROM generate_series(1, CAST(:count AS bigint)) AS n ON CONFLICT DO NOTHING RETURNING id
    )
    INSERT INTO chart_entry SELECT id, 1, 1, 0, 0 FROM added
""")


class Data:
    """The data of all attacks, in a database with the sample data."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._postgres = Postgres(0, url, Path())
        self._progress = Progress()
        with create_plain_engine(url).begin() as connection:
            seed(connection)
            self._factories = [str(row.id) for row in connection.execute(_FACTORIES)]
            self._type = str(connection.scalars(_TYPES).first())

    def long_chart(self, entries: int) -> str:
        """Give a factory a chart with `entries` entries, and return its id."""
        fill_chart(self._postgres, self._factories[0], entries, self._progress)
        return self._factories[0]

    def sprockets(self, count: int) -> None:
        """Add `count` sprockets."""
        fill_sprockets(self._postgres, self._factories[1], self._type, count, self._progress)

    def factories(self, count: int) -> list[str]:
        """Add `count` factories, and return their ids."""
        with create_plain_engine(self._url).begin() as connection:
            connection.execute(_ADD_FACTORIES, {"count": count})
        return [f"00000000-0000-7000-9000-{number:012x}" for number in range(1, count + 1)]
