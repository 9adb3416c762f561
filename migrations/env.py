"""Runs the migrations: one deployment at a time, without blocking the service for long.

All are one transaction, but for what builds indexes concurrently, which commits what comes before it.
"""

import time

from alembic import context
from sqlalchemy import Connection, text

from sprocket_grpc.storage.tables import metadata

ADVISORY_LOCK = 0x5B0C4E7
"""Any number that nobody else in this database takes: whoever holds it migrates."""

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a table that the service is using, before it gives up and changes nothing."""

_PAUSE_SECONDS = 0.1

_COLLATED = {"ix_sprocket_display_name_id"}


def is_comparable(_: object, name: str | None, *__: object) -> bool:
    """Whether the check can compare something with tables.py: SQLAlchemy does not see the collations of indexes."""
    return name not in _COLLATED


def migrate(connection: Connection) -> None:
    """Run what alembic was asked for, in the connection that it was given."""
    context.configure(
        connection=connection, target_metadata=metadata, compare_server_default=True, include_object=is_comparable
    )
    with connection.engine.begin() as guard:  # which lasts as long as the migrations, whatever they commit
        wait_for_turn(guard)
        with context.begin_transaction():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            context.run_migrations()


def wait_for_turn(guard: Connection) -> None:
    """Wait until nobody else migrates, and keep others from it until the transaction of `guard` ends.

    It comes before the revision is read: the second of two deployments then finds nothing left to do. The lock is one
    of the transaction, not of the session, so that a pooler in transaction mode does no harm.

    It is asked for again and again, and without parameters: while a statement waits, and also as long as one with
    parameters is the last of its transaction, it has a snapshot, and who builds an index concurrently waits for all.
    """
    while not guard.scalar(text(f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})")):
        time.sleep(_PAUSE_SECONDS)


migrate(context.config.attributes["connection"])
