"""Resets a database to one of two states: empty tables, or the sample data.

Copying and dropping a migrated database takes 35 ms. Rewriting the rows of all tables takes 3 ms, and a server cannot
change anything but rows.
"""

from sqlalchemy import Connection, delete, text

from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from sprocket_grpc.storage.tables import metadata

_EMPTY = "as_migrated"
_SEEDED = "with_sample_data"


class States:
    """The two states of one database, each stored in a schema of its own."""

    def __init__(self, url: str) -> None:
        """Store both states of a newly migrated database."""
        self._engine = create_plain_engine(url)
        with self._engine.begin() as connection:
            _store(connection, _EMPTY)
            seed(connection)
            _store(connection, _SEEDED)

    def restore(self, *, seeded: bool) -> None:
        """Restore a state. No client may be using the database."""
        with self._engine.begin() as connection:
            # In replica mode, foreign keys are not checked, and triggers do not write the audit log or protect it.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in metadata.sorted_tables:
                connection.execute(delete(table))
                stored = f"{_SEEDED if seeded else _EMPTY}.{table}"
                connection.execute(text(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE {stored}"))


def _store(connection: Connection, state: str) -> None:
    connection.execute(text(f"CREATE SCHEMA {state}"))
    for table in metadata.sorted_tables:
        connection.execute(text(f"CREATE TABLE {state}.{table} AS TABLE {table}"))
