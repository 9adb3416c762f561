"""Databases for tests: on a PostgreSQL that is gone in the end, migrated once, and copied within some 25 ms."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url, text

from sprocket_grpc import migrate
from sprocket_grpc.database import create_plain_engine
from sprocket_grpc.embedded import embedded_postgres


@contextmanager
def throw_away_postgres() -> Iterator[str]:
    """Run a PostgreSQL until the block ends, and yield its URL. It is not durable: no fsync.

    Raises:
        EmbeddedDatabaseError: There is none to be had.
    """
    # Under root, PostgreSQL runs as another account, to which pytest's own directories are closed.
    directory = Path(tempfile.mkdtemp(prefix="sprocket-tests-"))
    directory.chmod(0o755)
    try:
        with embedded_postgres(directory / "data", durable=False) as url:
            yield url
    finally:
        shutil.rmtree(directory)


@contextmanager
def migrated_database(postgres: str) -> Iterator[str]:
    """Make a database with the newest schema, and yield its URL until the block ends."""
    with new_database(postgres, "template1") as url:
        migrate.upgrade(url)
        yield url


@contextmanager
def new_database(postgres: str, template: str) -> Iterator[str]:
    """Copy a database, and drop the copy in the end, whoever is still using it.

    Args:
        postgres: The URL of any database of the server.
        template: The name of the one to copy, which nobody may be using.
    """
    name = f"test_{uuid.uuid4().hex}"
    execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    finally:
        execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str) -> None:
    """Run a statement outside of any transaction."""
    with create_plain_engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))
