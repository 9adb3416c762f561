"""Reads that are made ready once, and then run by the driver alone.

SQLAlchemy takes some 100 us of CPU to run a statement, which is a third of a point read. What it does beside is left
to it: errors, and telling those who watch an engine. Those who watch its dialect are told as SQLAlchemy tells them.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import Connection, Select
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.engine.interfaces import DBAPICursor


class PreparedRead:
    """A SELECT whose parameters alone differ, and whose columns need nothing done to them in Python.

    Attributes:
        compiled: The statement in SQL, by which those who watch know it.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self.compiled = statement.compile(dialect=dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy forgot it
        self._text = str(self.compiled)

    def rows(self, connection: Connection, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Read all rows."""
        if connection.engine.dispatch.before_cursor_execute:
            return self._rows_by_sqlalchemy(connection, parameters)
        try:
            return self._rows(connection, parameters)
        except psycopg.Error:
            # Once more, for SQLAlchemy to find out what is wrong, and whether the connection can be kept.
            return self._rows_by_sqlalchemy(connection, parameters)
        except BaseException:  # it was cut off in the middle, as SQLAlchemy says too
            connection.invalidate()
            raise

    def _rows(self, connection: Connection, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        cursor = connection.connection.cursor()
        try:
            self._execute(connection, cursor, parameters)
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def _execute(self, connection: Connection, cursor: DBAPICursor, parameters: Mapping[str, object]) -> None:
        watching: Any = connection.dialect.dispatch
        for watch in watching.do_execute:
            if watch(cursor, self._text, parameters, self):
                return  # it was executed by the one who watches
        cursor.execute(self._text, parameters)

    def _rows_by_sqlalchemy(self, connection: Connection, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(self._statement, parameters)]
