"""What all tests share: a throw-away PostgreSQL, a database of their own, and a server on a real channel."""

import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from sprocket_grpc import migrate
from sprocket_grpc.database import create_plain_engine
from sprocket_grpc.embedded import embedded_postgres
from tests.service import Service, running_service


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that this test process has for itself, or of the one that is named."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(named).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    # Under root, PostgreSQL runs as another account, to which pytest's own directories are closed.
    directory = Path(tempfile.mkdtemp(prefix="sprocket-tests-"))
    directory.chmod(0o755)
    try:
        with embedded_postgres(directory / "data", durable=False) as url:
            yield url
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    """The name of a migrated database, which others are copied from."""
    with new_database(postgres, "template1") as url:
        migrate.upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture
def database_url(postgres: str, template: str) -> Iterator[str]:
    """The URL of a migrated and empty database, for one test."""
    with new_database(postgres, template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: str) -> Iterator[str]:
    """The URL of a database in which no migration was run yet, for one test."""
    with new_database(postgres, "template1") as url:
        yield url


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A server in this process, and a client of it, on a database of their own."""
    async with running_service(database_url) as running:
        yield running


@contextmanager
def new_database(postgres: str, template: str) -> Iterator[str]:
    """Copy a database, which takes 25 ms, and drop the copy in the end, whoever is still using it."""
    name = f"test_{uuid.uuid4().hex}"
    execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield database_called(postgres, name)
    finally:
        execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def database_called(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def execute(url: str, statement: str) -> None:
    """Run a statement outside of any transaction."""
    with create_plain_engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))
