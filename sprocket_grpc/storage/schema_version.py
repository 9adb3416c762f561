"""The SQL that checks whether a database has the schema that this version needs."""

import sqlalchemy
from sqlalchemy import text

from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.tables import SCHEMA_REVISION


def read_revision(connection: Connection | sqlalchemy.Connection) -> str | None:
    """Return the revision of the schema, or None if no migration was applied."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def find_problem(connection: Connection | sqlalchemy.Connection) -> str | None:
    """Return what is wrong with the schema, for a person; None if nothing is.

    A newer one than this version knows is right: it was made to serve this version too (expand, contract).
    """
    revision = read_revision(connection)
    if revision is not None and revision >= SCHEMA_REVISION:
        return None
    found = f"at revision {revision}" if revision else "empty"
    return f"the schema is {found}, this version needs revision {SCHEMA_REVISION}: run `sprocket-grpc migrate`"
