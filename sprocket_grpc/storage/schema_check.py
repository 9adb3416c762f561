"""Compares the schema of a database with what this version expects, beyond what Alembic compares."""

from sqlalchemy import Connection

from sprocket_grpc.storage.schema_definitions import DEFAULT_PARTITION, definitions, found_definitions, partitions
from sprocket_grpc.storage.triggers import found_programs, programs


def differences(connection: Connection) -> list[str]:
    """Return what is missing or different in the database, or should not be there, one text for each."""
    parts = partitions(connection)
    expected = definitions() | programs({*parts, DEFAULT_PARTITION})
    found = found_definitions(connection) | found_programs(connection)
    return [f"missing: {each}" for each in sorted(expected - found)] + [
        f"unexpected: {each}" for each in sorted(found - expected)
    ]
