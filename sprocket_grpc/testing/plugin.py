"""The pytest plugin: a real server for each test. pytest loads it wherever the package is installed.

So nothing but pytest is imported before a fixture is used: projects that use none must not notice it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import grpc

    from sprocket_grpc.testing.servers import Servers

_MARKER = "sprocket_seeded: the server of this test begins with the sample data of sprocket-grpc, not empty"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def sprocket_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a PostgreSQL, for its superuser: a private one, which is gone in the end.

    A fixture of the same name in your conftest.py makes the servers use another PostgreSQL.
    """
    with _its_extra_installed():
        from sprocket_grpc.testing.postgres import throw_away_postgres  # noqa: PLC0415  # see above

    with throw_away_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def _sprocket_servers(sprocket_postgres: str) -> "Iterator[Servers]":
    with _its_extra_installed():
        from sprocket_grpc.testing.servers import servers_on  # noqa: PLC0415  # see above

    with servers_on(sprocket_postgres) as servers:
        yield servers


@pytest.fixture
def sprocket_address(request: pytest.FixtureRequest, _sprocket_servers: "Servers") -> Iterator[str]:
    """The address, such as 127.0.0.1:40123, of a server that this test has for itself: empty, or sprocket_seeded."""
    with _sprocket_servers.serve(seeded=request.node.get_closest_marker("sprocket_seeded") is not None) as address:
        yield address


@pytest.fixture
def sprocket_channel(sprocket_address: str) -> "Iterator[grpc.aio.Channel]":
    """A channel to the server at sprocket_address for asyncio, in whichever event loop the test runs."""
    from sprocket_grpc.testing.channel import AnyLoopChannel  # noqa: PLC0415  # see above

    channel = AnyLoopChannel(sprocket_address)
    yield channel
    channel.drop()


@pytest.fixture
def sprocket_sync_channel(sprocket_address: str) -> "Iterator[grpc.Channel]":
    """A channel to the server at sprocket_address."""
    import grpc  # noqa: PLC0415  # see above

    with grpc.insecure_channel(sprocket_address) as channel:
        yield channel


@contextmanager
def _its_extra_installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error}: pip install 'sprocket-grpc[testing]' has what a server needs"
        raise pytest.fail.Exception(message, pytrace=False) from None
