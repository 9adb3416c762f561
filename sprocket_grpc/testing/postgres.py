"""Databases for tests: on a temporary PostgreSQL, migrated once and copied in about 25 ms."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url, text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.embedded import embedded_postgres
from sprocket_grpc.storage.postgres.engine import create_plain_engine

_MEMORY = Path("/dev/shm")  # noqa: S108  # mkdtemp makes a unique name in it
_REQUIRED_BYTES = 4 << 30


@contextmanager
def temporary_postgres() -> Iterator[str]:
    """Run a PostgreSQL until the block ends, and yield its URL. Its data is not durable, and in memory if it fits.

    Raises:
        EmbeddedDatabaseError: PostgreSQL cannot be started.
    """
    # Not in pytest's own directories: under root, PostgreSQL runs as another user, who cannot enter them.
    directory = Path(tempfile.mkdtemp(prefix="sprocket-tests-", dir=_memory_directory()))
    directory.chmod(0o755)
    try:
        with embedded_postgres(directory / "data", durable=False) as url:
            yield url
    finally:
        shutil.rmtree(directory)


def _memory_directory() -> Path | None:
    """Return a directory in memory, or None if it has too little space or TMPDIR names another directory.

    A database has 300 files. Some file systems take 0.2 s to create them after as many have been deleted.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _REQUIRED_BYTES else None


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
