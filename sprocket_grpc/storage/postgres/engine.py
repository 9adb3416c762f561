"""Synchronous engines for migrations and the command line, and how connections of a server make cursors."""

import time
from typing import Any

from psycopg import AsyncCursor
from psycopg.pq import Format
from psycopg.rows import TupleRow
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from sprocket_grpc.config.database_url import connect_arguments, describe
from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.storage.postgres.session import CONNECT_ARGUMENTS, ISOLATION_LEVEL, session_setup

UNPREPARED: dict[str, object] = {"prepare_threshold": None}
"""Arguments of a connection that prepares no statements, so that it works behind every pooler."""


class DatabaseNotReachableError(ExpectedError):
    """The database did not answer in time. The text says which and why, without the password."""


def create_plain_engine(url: str, **settings: str) -> Engine:
    """Make a synchronous engine that keeps no connections, for migrations and the command line.

    It prepares no statements, so that it works behind every pooler.

    Args:
        url: The URL of the database.
        settings: Settings of PostgreSQL for its connections.
    """
    engine = create_engine(
        url,
        connect_args=connect_arguments(url) | CONNECT_ARGUMENTS | UNPREPARED,
        hide_parameters=True,
        isolation_level=ISOLATION_LEVEL,
        poolclass=NullPool,
    )
    event.listen(engine, "connect", session_setup(**settings))
    return engine


def wait_for_database(url: str, seconds: float) -> None:
    """Wait until the database takes connections.

    Raises:
        DatabaseNotReachableError: It did not within `seconds`, or the URL has an option that makes no sense.
        DatabaseEncodingError: The encoding of the database is not UTF8.
    """
    deadline = time.monotonic() + seconds
    while (error := _connection_error(url)) is not None:
        left = deadline - time.monotonic()
        if left <= 0 or not isinstance(error, OperationalError):
            reason = " ".join(str(error.orig).split())
            raise DatabaseNotReachableError(f"{describe(url)} did not answer within {seconds:g} s: {reason}")
        time.sleep(min(0.5, left))


def _connection_error(url: str) -> DBAPIError | None:
    try:
        create_plain_engine(url).connect().close()
    except DBAPIError as error:
        return error
    return None


class _BinaryCursor(AsyncCursor[TupleRow]):
    """Gets results in PostgreSQL's binary format: a chunk of a chart takes two thirds of the CPU of text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # as psycopg gives them
        super().__init__(*args, **kwargs)
        self.format = Format.BINARY


def cursors(*, prepared_statements: bool) -> dict[str, object]:
    """Return how connections of a server make cursors, as arguments to connect."""
    return {"cursor_factory": _BinaryCursor} | ({} if prepared_statements else UNPREPARED)
