"""Runs the migrations: one deployment at a time, without blocking the service for long.

All are one transaction, but for what builds indexes concurrently, which commits what comes before it.
"""

from alembic import context
from sqlalchemy import Connection, text

from sprocket_grpc.models import metadata

ADVISORY_LOCK = 0x5B0C4E7
"""Any number that nobody else in this database takes: whoever holds it migrates."""

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a table that the service is using, before it gives up and changes nothing."""


def migrate(connection: Connection) -> None:
    """Run what alembic was asked for, in the connection that it was given."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with connection.engine.begin() as guard:
        # A lock of the transaction, not of the session, so that a pooler in transaction mode does no harm; and of one
        # beside that of the migrations, which does not last as long as they do.
        # It comes before the revision is read: the second of two deployments then finds nothing left to do.
        guard.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        with context.begin_transaction():
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            context.run_migrations()


migrate(context.config.attributes["connection"])
