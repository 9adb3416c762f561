"""Databases for tests: on a PostgreSQL that is gone in the end, migrated once, and copied within some 25 ms."""

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

_MEMORY = Path("/dev/shm")  # noqa: S108  # what is made there has a name of its own, as in the directory for such files
_ROOM_BYTES = 4 << 30


@contextmanager
def throw_away_postgres() -> Iterator[str]:
    """Run a PostgreSQL until the block ends, and yield its URL. Nothing is durable; it is in memory if there is room.

    Raises:
        EmbeddedDatabaseError: There is none to be had.
    """
    # Under root, PostgreSQL runs as another account, to which pytest's own directories are closed.
    directory = Path(tempfile.mkdtemp(prefix="sprocket-tests-", dir=_memory_with_room()))
    directory.chmod(0o755)
    try:
        with embedded_postgres(directory / "data", durable=False) as url:
            yield url
    finally:
        shutil.rmtree(directory)


def _memory_with_room() -> Path | None:
    """Where files are in memory, unless there is little of it, or somebody said with TMPDIR where to put them.

    A database has 300 files. Some file systems take 0.2 s to make so many where as many have just been deleted.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES else None


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
