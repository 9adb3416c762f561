"""A connection that is refused when it is opened is closed: SQLAlchemy does not do it, and PostgreSQL has few."""

from typing import Any

import pytest

from sprocket_grpc.storage.postgres.session import DatabaseEncodingError, session_setup


class Driver:
    """A connection to a database with an encoding."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.is_open = True
        self.info = self.pgconn = self

    def parameter_status(self, _: str) -> str:
        return self.encoding

    def finish(self) -> None:
        self.is_open = False

    def cursor(self) -> Any:
        raise ConnectionError("lost")


def test_a_connection_to_a_database_that_is_not_utf8_is_closed() -> None:
    driver = Driver("LATIN1")
    with pytest.raises(DatabaseEncodingError):
        session_setup()(driver, None)
    assert not driver.is_open


def test_a_connection_that_is_lost_during_its_setup_is_closed() -> None:
    driver = Driver("UTF8")
    with pytest.raises(ConnectionError):
        session_setup()(driver, None)
    assert not driver.is_open
