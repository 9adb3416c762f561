"""The SQL that checks whether a database has the schema that this version needs."""

from sqlalchemy import Connection, text

from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.tables import SCHEMA_REVISION

_HAS_REVISION: Read[bool] = Read(
    text("SELECT to_regclass('alembic_version') IS NOT NULL"), {}, lambda rows: bool(rows[0][0])
)
_REVISION: Read[str | None] = Read(
    text("SELECT version_num FROM alembic_version"), {}, lambda rows: rows[0][0] if rows else None
)


def read_revision(connection: Connection) -> str | None:
    """Return the revision of the schema, or None if no migration was applied."""
    return _REVISION.on(connection) if _HAS_REVISION.on(connection) else None


def find_problem(connection: Connection) -> str | None:
    """Return what is wrong with the schema, for a person; None if nothing is.

    A newer one than this version knows is right: it was made to serve this version too (expand, contract).
    """
    return _problem_of(read_revision(connection))


async def find_problem_of(database: Database) -> str | None:
    """Return what is wrong with the schema of a server's database, as `find_problem` does."""
    return _problem_of(await database.read(_REVISION) if await database.read(_HAS_REVISION) else None)


def _problem_of(revision: str | None) -> str | None:
    if revision is not None and revision >= SCHEMA_REVISION:
        return None
    found = f"at revision {revision}" if revision else "empty"
    return f"the schema is {found}, this version needs revision {SCHEMA_REVISION}: run `sprocket-grpc migrate`"
