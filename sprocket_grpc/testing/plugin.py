"""The pytest plugin: a real server for each test. pytest loads it wherever the package is installed.

It imports nothing but pytest before a fixture is used, so that it does not slow down projects that use no fixture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import grpc

    from sprocket_grpc.testing.servers import Servers

_MARKER = "sprocket_seeded: start the server of this test with the sample data of sprocket-grpc instead of empty"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def sprocket_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of an embedded PostgreSQL for its superuser. Its data is deleted after the session.

    To use another PostgreSQL, override this fixture in your conftest.py.
    """
    with _extra_required():
        from sprocket_grpc.testing.postgres import temporary_postgres  # noqa: PLC0415  # see above

    with temporary_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def _sprocket_servers(sprocket_postgres: str) -> "Iterator[Servers]":
    with _extra_required():
        from sprocket_grpc.testing.servers import servers_on  # noqa: PLC0415  # see above

    with servers_on(sprocket_postgres) as servers:
        yield servers


@pytest.fixture
def sprocket_address(request: pytest.FixtureRequest, _sprocket_servers: "Servers") -> Iterator[str]:
    """The address, such as 127.0.0.1:40123, of a server for this test alone. It is empty, unless sprocket_seeded."""
    with _sprocket_servers.serve(seeded=request.node.get_closest_marker("sprocket_seeded") is not None) as address:
        yield address


@pytest.fixture
def sprocket_channel(sprocket_address: str) -> "Iterator[grpc.aio.Channel]":
    """An asyncio channel to the server at sprocket_address, which works in the event loop of the test."""
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
def _extra_required() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error}: run pip install 'sprocket-grpc[testing]'"
        raise pytest.fail.Exception(message, pytrace=False) from None
