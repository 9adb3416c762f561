"""Keeps what callers send out of the texts of PostgreSQL's errors, which the log has."""

from sqlalchemy import ExceptionContext

_DATA_EXCEPTION = "22"
"""The class of the SQLSTATEs whose messages quote a value (PostgreSQL manual, appendix A)."""


def hide_values(context: ExceptionContext) -> None:
    """Replace the texts of an error of a statement, for the event `handle_error` of SQLAlchemy.

    They keep the message, which names tables and constraints. DETAIL, HINT and CONTEXT can have the whole row.
    """
    error = context.original_exception
    diagnostic = getattr(error, "diag", None)
    state: str | None = getattr(diagnostic, "sqlstate", None)
    if diagnostic is None or state is None:
        return  # an error of the connection, or of the driver
    shown = "its message can quote a value" if state.startswith(_DATA_EXCEPTION) else diagnostic.message_primary
    text = f"SQLSTATE {state}: {shown}"
    error.args = (text,)
    if context.sqlalchemy_exception:
        context.sqlalchemy_exception.args = (f"({type(error).__name__}) {text}",)
