"""Fixtures for all tests: a temporary PostgreSQL, a database per test, and a server with a real gRPC channel."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.testing.postgres import migrated_database, new_database, temporary_postgres
from tests.support.databases import Databases
from tests.support.service import Service, running_service
from tests.support.web import service_by
from tests.support.web_channel import EACH, PROTOCOLS, protocol_of

# Background jobs of a script ignore these signals, and their child processes inherit this. Tests send them.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processors plus two, because tests wait during half of their time."""
    return (os.cpu_count() or 1) + 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `make quick` says, and the protocol that the suite is run over."""
    parser.addoption("--quick", action="store_true", help="Leave slow tests out, but in files that are named.")
    by_http = "Call the service by HTTP in this protocol, not by gRPC; `each` shares the tests among all protocols."
    parser.addoption("--protocol", choices=[*PROTOCOLS, EACH], help=by_http)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out if asked to, but in files that are named: those are being changed."""
    if config.getoption("--quick"):
        named = {Path(argument).resolve() for argument in config.args}
        left_out = [each for each in items if each.get_closest_marker("slow") and each.path not in named]
        items[:] = [each for each in items if each not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was skipped, a line for each reason: a missing program must not hide a missing test."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons: dict[str, list[str]] = {}
    for each in skipped:
        reasons.setdefault(str(each.longrepr[2]).removeprefix("Skipped: "), []).append(each.nodeid.partition("::")[0])
    if skipped:
        terminalreporter.section(f"{len(skipped)} tests skipped")
    for reason, files in sorted(reasons.items()):
        terminalreporter.line(f"{len(files)} of {', '.join(sorted(set(files)))}: {reason}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL in TEST_DATABASE_URL, or of a temporary PostgreSQL for this test process."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    with temporary_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def sprocket_postgres(postgres: str) -> str:
    """The same PostgreSQL, for the fixtures of the pytest plugin."""
    return postgres


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    """The name of a migrated database, the template of the databases for tests."""
    with migrated_database(postgres) as url:
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def databases(postgres: str, template: str) -> Iterator[Databases]:
    """The databases for tests that need one."""
    with closing(Databases(postgres, template)) as databases:
        yield databases


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The URL of a migrated, empty database, for one test."""
    with databases.take() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: str) -> Iterator[str]:
    """The URL of a database without any migration, for one test."""
    with new_database(postgres, "template1") as url:
        yield url


@pytest.fixture
async def service(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Service]:
    """A server in this process with its own database, and a client."""
    protocol = protocol_of(request.node.nodeid, request.config.getoption("--protocol"))
    async with service_by(protocol, database_url) if protocol else running_service(database_url) as running:
        yield running


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all SPROCKET_* settings from the environment, for one test."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
