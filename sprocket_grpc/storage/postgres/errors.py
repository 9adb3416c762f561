"""Translates errors of PostgreSQL into errors for callers."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg

from sprocket_grpc.errors import (
    AbortedError,
    DatabaseMisconfiguredError,
    DeadlineExceededError,
    SprocketError,
    UnavailableError,
)
from sprocket_grpc.storage.postgres.answers import LostConnectionError
from sprocket_grpc.storage.postgres.session import DatabaseEncodingError

_log = logging.getLogger(__name__)

# SQLSTATEs and their classes (PostgreSQL manual, appendix A).
_ERRORS: dict[str, type[SprocketError]] = {
    "08": UnavailableError,  # connection exceptions
    "28": DatabaseMisconfiguredError,  # the password is wrong, or the role may not connect
    "25006": UnavailableError,  # read only: a standby, or a primary that is being replaced
    "3D000": UnavailableError,  # the database does not exist
    "3F000": UnavailableError,  # the schema does not exist
    "40": AbortedError,  # deadlock, serialization failure
    "42501": DatabaseMisconfiguredError,  # the role lacks a privilege
    "42703": UnavailableError,  # a column does not exist: the schema is behind
    "42P01": UnavailableError,  # a table does not exist: the schema is behind
    "53": UnavailableError,  # out of connections, memory or disk
    "55000": UnavailableError,  # recovery is in progress: a standby was asked for what only a primary knows
    "55P03": AbortedError,  # lock not available
    "57014": DeadlineExceededError,  # canceled, by statement_timeout or by hand
    "57P": UnavailableError,  # shutting down, starting up, crashed
    "58": UnavailableError,  # input or output error of the system
}

UntranslatedError: TypeAlias = psycopg.Error
"""An error of the database that means nothing to callers, such as a division by zero."""

_REPEAT_SECONDS = 60
"""The interval at which the log repeats a problem of the configuration: every call has it."""

_logged: dict[str, float] = {}
"""When each problem of the configuration was logged, by a monotonic clock. There are as many as tables, at most."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate errors of the database into errors for callers, and log a line for each."""
    try:
        yield
    except DatabaseEncodingError as error:
        raise _misconfigured(str(error)) from error
    except psycopg.Error as error:
        translated = _translate(error)
        if translated is None:
            raise
        if translated is DatabaseMisconfiguredError:
            raise _misconfigured(" ".join(str(error).split())) from error
        _log.warning("%s: %s", translated.__name__, str(error).strip())
        raise translated from error


def _misconfigured(problem: str) -> DatabaseMisconfiguredError:
    """Return the error of a problem that an operator has to correct, and log it once a minute."""
    now = time.monotonic()
    if now >= _logged.get(problem, -math.inf) + _REPEAT_SECONDS:
        _logged[problem] = now
        _log.error("the database is not configured for this service: %s", problem)
    return DatabaseMisconfiguredError(problem)


def _translate(error: psycopg.Error) -> type[SprocketError] | None:
    """Return the error for callers of an error of the driver, or None."""
    if isinstance(error, LostConnectionError) or is_stale(error):
        return UnavailableError
    if error.sqlstate is None:
        return UnavailableError if isinstance(error, psycopg.OperationalError) else None
    return _error_for_sqlstate(error.sqlstate)


def _error_for_sqlstate(state: str) -> type[SprocketError] | None:
    """Return the error for callers of an SQLSTATE, by its longest known prefix, or None."""
    return next((_ERRORS[state[:n]] for n in (5, 3, 2) if state[:n] in _ERRORS), None)


# What this connection has prepared is not what it is thought to be, or a migration has changed the types of columns.
_STALE = {"26000", "0A000", "42P05"}


def is_stale(error: psycopg.Error) -> bool:
    """Whether a statement was refused for what the connection had prepared: another connection may run it."""
    return error.sqlstate in _STALE and not isinstance(error, LostConnectionError)


def is_of_statement(error: psycopg.Error) -> bool:
    """Whether PostgreSQL refused a statement for a reason that another statement would not have.

    The end of a connection is no such reason, whatever its SQLSTATE: a COMMIT may have been done.
    """
    if error.sqlstate is None or is_stale(error) or isinstance(error, LostConnectionError):
        return False
    return _error_for_sqlstate(error.sqlstate) in {None, AbortedError, DeadlineExceededError}


def error_name(error: BaseException) -> str:
    """Return the SQLSTATE of an error of the driver, or the name of another error."""
    return getattr(error, "sqlstate", None) or type(error).__name__
