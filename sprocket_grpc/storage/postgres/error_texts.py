"""Keeps what callers send out of the texts of PostgreSQL's errors, which the log has."""

import psycopg

_DATA_EXCEPTION = "22"
"""The class of the SQLSTATEs whose messages quote a value (PostgreSQL manual, appendix A)."""


def hide_values(error: psycopg.Error) -> None:
    """Replace the text of an error of a statement.

    It keeps the message, which names tables and constraints. DETAIL, HINT and CONTEXT can have the whole row.
    """
    state = error.diag.sqlstate
    if state is None:
        return  # an error of the connection, or of the driver
    shown = "its message can quote a value" if state.startswith(_DATA_EXCEPTION) else error.diag.message_primary
    error.args = (f"SQLSTATE {state}: {shown}",)
