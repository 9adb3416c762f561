"""Runs the migrations: one deployment at a time, without blocking the service for long.

All migrations run in one transaction. A migration that builds indexes concurrently commits the ones before it.
"""

import time
from collections.abc import Mapping
from typing import Any

from alembic import context
from sqlalchemy import Connection, event, text

from sprocket_grpc.storage.grants import grant
from sprocket_grpc.storage.retention import TABLES, record_retention
from sprocket_grpc.storage.schema_definitions import partitions
from sprocket_grpc.storage.tables import metadata

ADVISORY_LOCK = 0x5B0C4E7
"""The key of the advisory lock that a migrating process holds. No other program may use it in this database."""

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a lock on a table that the service is using, before it fails without changes."""

_PAUSE_SECONDS = 0.1


def is_comparable(_: object, name: str | None, kind: str, *__: object) -> bool:
    """Return whether alembic can compare an object with tables.py; storage/schema_check.py compares the others.

    SQLAlchemy does not read the collations of indexes, and takes a partition for a table of its own.
    """
    return kind != "index" and not (kind == "table" and name in partitions(context.config.attributes["connection"]))


def migrate(connection: Connection) -> None:
    """Run the requested migrations on a connection, and do what the owner says with the newest schema."""
    event.listen(connection, "begin", limit_waits_for_locks)
    context.configure(
        connection=connection, target_metadata=metadata, compare_server_default=True, include_object=is_comparable
    )
    with connection.engine.begin() as guard:  # stays open during all migrations, even if they commit
        wait_for_turn(guard)
        with context.begin_transaction():
            context.run_migrations()
            obey_owner(connection, context.config.attributes)


def obey_owner(connection: Connection, said: Mapping[str, Any]) -> None:
    """Grant the role of the server what it needs, and record how long entries are kept, if the owner has said so."""
    if role := said.get("role"):
        grant(connection, role)
    record_retention(connection, {setting: said[setting] for setting in TABLES if setting in said})


def limit_waits_for_locks(connection: Connection) -> None:
    """Limit how long a transaction waits for locks; also those that follow a migration that commits."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def wait_for_turn(guard: Connection) -> None:
    """Wait until no other process migrates, and block others until the transaction of `guard` ends.

    This comes before alembic reads the revision, so the second of two deployments finds nothing left to do. The lock
    belongs to the transaction and not to the session, so it works behind a pooler in transaction mode.

    It polls for the lock, with a statement without parameters, so that `guard` holds no snapshot: CREATE INDEX
    CONCURRENTLY waits for all snapshots. A waiting statement has one, and so does a transaction whose last statement
    had parameters.
    """
    while not guard.scalar(text(f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})")):
        time.sleep(_PAUSE_SECONDS)


migrate(context.config.attributes["connection"])
