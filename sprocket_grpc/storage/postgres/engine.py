"""Synchronous engines for migrations and the command line."""

import time
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from sprocket_grpc.config.database_url import connect_arguments, describe
from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.storage.postgres.session import CONNECT_ARGUMENTS, ISOLATION_LEVEL, check_encoding, setup_query

__all__ = ["Connection", "DatabaseNotReachableError", "create_plain_engine", "wait_for_database"]

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
    event.listen(engine, "connect", partial(_set_up, setup_query(**settings)))
    return engine


def _set_up(query: str, connection: psycopg.Connection[Any], _record: object) -> None:
    try:
        check_encoding(connection)
        connection.execute(query.encode())
        connection.commit()
    except BaseException:
        connection.pgconn.finish()  # SQLAlchemy does not close a connection whose listener fails
        raise


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
