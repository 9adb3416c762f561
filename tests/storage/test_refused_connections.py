"""A connection that is refused when it is opened is closed: neither SQLAlchemy nor psycopg does it in time."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from sprocket_grpc.errors import DatabaseMisconfiguredError
from sprocket_grpc.storage.postgres import connector, engine
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.session import DatabaseEncodingError
from tests.support.waiting import until

OPEN = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")
WRONG_SETUP = b"SELECT no_such_function()"


def refuse(_: object) -> None:
    raise DatabaseEncodingError("LATIN1")


def are_closed(url: str) -> Callable[[], bool]:
    def look() -> bool:
        with create_plain_engine(url).connect() as connection:
            return not connection.scalar(OPEN)

    return look


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("check_encoding", refuse, DatabaseMisconfiguredError), ("_SETUP", WRONG_SETUP, Exception)],
)
async def test_a_connection_that_a_server_refuses_is_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, name: str, value: object, error: type[Exception]
) -> None:
    database = Database(database_url, pool_size=1)
    failures = []  # whose tracebacks would keep a connection that is only forgotten
    with monkeypatch.context() as patch:
        patch.setattr(connector, name, value)
        for _ in range(3):
            with pytest.raises(error) as failure:
                await database.run(lambda connection: connection.scalar(text("SELECT 1")))
            failures.append(failure)
    await until(are_closed(database_url))
    assert await database.run(lambda connection: connection.scalar(text("SELECT 1"))) == 1
    await database.close()


@pytest.mark.parametrize(("name", "value"), [("check_encoding", refuse), ("setup_query", WRONG_SETUP.decode)])
async def test_a_connection_that_a_command_refuses_is_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    failures = []
    with monkeypatch.context() as patch:
        patch.setattr(engine, name, value)
        for _ in range(3):
            with pytest.raises(Exception, match=r"LATIN1|no_such_function") as failure:
                create_plain_engine(database_url).connect()
            failures.append(failure)
    await until(are_closed(database_url))
