"""Answers of PostgreSQL that are due, and the errors in them.

Their texts, which the log has, tell nothing of what callers send.
"""

from typing import NamedTuple

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

_DATA_EXCEPTION = "22"
"""The class of the SQLSTATEs whose messages quote a value (PostgreSQL manual, appendix A)."""


class Due(NamedTuple):
    """An answer that PostgreSQL owes.

    Attributes:
        name: The name of the statement that it prepares or closes; None for the answer of a request.
        prepares: Whether it prepares the statement.
    """

    name: bytes | None = None
    prepares: bool = False


class LostConnectionError(psycopg.OperationalError):
    """The connection has ended. Whether PostgreSQL did what it was asked for is not known.

    Attributes:
        sqlstate: Why, if PostgreSQL said it.
    """

    def __init__(self, reason: str = "", sqlstate: str | None = None) -> None:
        super().__init__(f"the connection has ended: {reason}" if reason else "the connection has ended")
        self.sqlstate = sqlstate


class NoAnswerError(psycopg.OperationalError):
    """PostgreSQL did not answer in time."""

    def __init__(self) -> None:
        super().__init__("PostgreSQL did not answer in time")


def raise_if_failed(answer: PGresult) -> None:
    """Raise the error of an answer, whose text has no values."""
    if answer.status == ExecStatus.FATAL_ERROR:
        error = error_from_result(answer)
        _hide_values(error)
        raise error


def state_of(answer: PGresult) -> str | None:
    """Return the SQLSTATE of an answer, or None if it is no error."""
    state = answer.error_field(DiagnosticField.SQLSTATE)
    return state.decode() if state else None


def raise_if_ended(result: PGresult) -> None:
    """Raise the error that ends a connection. libpq's own, without a severity, is that it has ended."""
    severity = result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED)
    if result.status == ExecStatus.FATAL_ERROR and severity != b"ERROR":
        raise LostConnectionError(result.error_message.decode(errors="replace").strip(), state_of(result))


def _hide_values(error: psycopg.Error) -> None:
    """Replace the text of an error of a statement.

    It keeps the message, which names tables and constraints. DETAIL, HINT and CONTEXT can have the whole row.
    """
    state = error.diag.sqlstate
    if state is None:
        return  # an error of the connection, or of the driver
    shown = "its message can quote a value" if state.startswith(_DATA_EXCEPTION) else error.diag.message_primary
    error.args = (f"SQLSTATE {state}: {shown}",)
