"""The SQL of lists, for any table that has an id."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, bindparam, func, select

from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import OrderTerm
from sprocket_grpc.store import query as query_sql
from sprocket_grpc.store.prepared import PreparedRead
from sprocket_grpc.store.query import BY_ID, SortKey

Row: TypeAlias = Sequence[Any]
"""The fields of a resource as they leave the database: id, create and update time, then its own in their order."""

FIRST_ID = "00000000-0000-0000-0000-000000000000"
"""Comes before every id, so that the first page is read like any other."""


class ListedStore:
    """Lists the rows of a table.

    Attributes:
        table: Where its rows are.
        columns: The columns that are fields of the resource, in the order of a Row.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns = [column for column in table.c if not column.info]
        after = table.c.id > bindparam("after")
        page = select(*self.columns).where(after).order_by(table.c.id).limit(bindparam("limit"))
        self._page = PreparedRead(page)

    def page(self, connection: Connection, query: Query, after: SortKey | None, limit: int) -> Sequence[Row]:
        """Read up to `limit` rows that `query` asks for, in its order, from the one that follows `after` on."""
        if query == Query():  # the usual case has its statement ready
            return self._page.rows(connection, {"after": after[0] if after else FIRST_ID, "limit": limit})
        statement = select(*self.columns).where(*self._conditions(query))
        if after:
            statement = statement.where(query_sql.after(self.table, query.order, after))
        ordered = statement.order_by(*query_sql.order_columns(self.table, self._terms(query)))
        return connection.execute(ordered.limit(limit)).all()

    def sort_key(self, query: Query, row: Row) -> SortKey:
        """Return what `page` needs to go on after a row."""
        return query_sql.sort_key(self.columns, query.order, row)

    def count(self, connection: Connection, query: Query) -> int:
        """Count the rows that the filter of `query` lets through."""
        statement = select(func.count()).select_from(self.table).where(*self._conditions(query))
        return int(connection.scalar(statement) or 0)

    def _terms(self, query: Query) -> Sequence[OrderTerm]:
        """Return the order of `query`, with a field before the ids in which all its rows agree: one index has both."""
        first, *_ = *query.order, BY_ID
        agreed = query_sql.agreed_field(self.table, query.filter) if first.field == BY_ID.field else None
        return [OrderTerm(agreed, first.descending), first] if agreed else query.order

    def _conditions(self, query: Query) -> list[ColumnElement[bool]]:
        return [query_sql.condition(self.table, query.filter)] if query.filter else []
