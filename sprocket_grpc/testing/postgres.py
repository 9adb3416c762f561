"""Databases for tests: on a temporary PostgreSQL, migrated once and copied in about 25 ms."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url, text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.embedded import temporary_postgres as temporary_postgres  # noqa: PLC0414  # exported here too
from sprocket_grpc.storage.postgres.engine import create_plain_engine


@contextmanager
def migrated_database(postgres: str) -> Iterator[str]:
    """Create a database with the newest schema, and yield its URL until the block ends."""
    with new_database(postgres, "template1") as url:
        migrate.upgrade(url)
        yield url


@contextmanager
def new_database(postgres: str, template: str) -> Iterator[str]:
    """Copy a database, yield the URL of the copy, and drop it at the end even if it is still in use.

    Args:
        postgres: The URL of any database of the server.
        template: The name of the database to copy, to which no client may be connected.
    """
    name = f"test_{uuid.uuid4().hex}"
    execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    finally:
        execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str) -> None:
    """Run a statement outside a transaction."""
    with create_plain_engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))
