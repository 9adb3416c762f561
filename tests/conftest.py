"""What all tests share: a throw-away PostgreSQL, a database of their own, and a server on a real channel."""

import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import make_url

from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.testing.postgres import migrated_database, new_database, throw_away_postgres
from tests.support.service import Service, running_service

# What a script runs in the background ignores Ctrl-C, and so would the processes that tests press it in.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a third of the time, a test waits for others, or for a time to pass."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that this test process has for itself, or of the one that is named."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(named).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    with throw_away_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def sprocket_postgres(postgres: str) -> str:
    """The same for the plugin that other projects use."""
    return postgres


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    """The name of a migrated database, which others are copied from."""
    with migrated_database(postgres) as url:
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


@pytest.fixture
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all of our settings out of the environment, for one test."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
