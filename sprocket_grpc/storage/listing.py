"""The SQL of lists, for every table that has an id."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Select, Table, bindparam, func, select

from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import OrderTerm
from sprocket_grpc.storage import query_sql
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement, of_shape
from sprocket_grpc.storage.query_sql import BY_ID, Shape, SortKey

Row: TypeAlias = Sequence[Any]
"""The fields of a resource as they leave the database: id, create and update time, then its own in their order."""

ID, UPDATE_TIME, OWN_FIELDS = 0, 2, 3
"""The indexes of fields in a row; times are in microseconds since 1970."""


class ListStore:
    """Lists the rows of a table.

    Attributes:
        table: Where its rows are.
        columns: The columns that are fields of the resource, in the order of a Row.
    """

    def __init__(self, table: Table, default_order: tuple[OrderTerm, ...] = ()) -> None:
        self.table = table
        self._default_order = default_order
        self.columns = [column for column in table.c if not column.info]
        by_id = select(*self.columns).order_by(table.c.id).limit(bindparam("limit"))
        self._first_page_by_id = Statement(by_id)
        self._page_by_id = Statement(by_id.where(table.c.id > bindparam("after")))

    def index_of(self, column: Column[Any]) -> int:
        """Return the index of a column in a row. `list.index` would build an SQL comparison for each column."""
        return next(index for index, each in enumerate(self.columns) if each is column)

    def page(self, query: Query, after: SortKey | None, limit: int) -> Read[Sequence[Row]]:
        """Read up to `limit` rows that `query` asks for, in its order, from the one that follows `after` on."""
        query = self._ordered(query)
        if query == Query():
            return self._page_in_order_of_ids(after, limit)
        shape, values = query_sql.shape_of(self.table, query, after)
        statement = self._statement(shape, self._page)
        is_expensive = not query_sql.is_index_range(self.table, query)
        return Read(statement, values | {"limit": limit}, _all_rows, is_expensive=is_expensive)

    def sort_key(self, query: Query, row: Row) -> SortKey:
        """Return the sort key with which `page` continues after a row."""
        return query_sql.sort_key(self.columns, self._ordered(query).order, row)

    def count(self, query: Query) -> Read[int]:
        """Count the rows that the filter of `query` lets through."""
        shape, values = query_sql.shape_of(self.table, replace(query, order=()))
        statement = self._statement(shape, self._count)
        return Read(statement, values, lambda rows: int(rows[0][0]), is_expensive=True)

    def _statement(self, shape: Shape, make: Callable[[Shape], Select[Any]]) -> Statement | Select[Any]:
        """Return the statement of a shape. One that other queries can have too is kept: it takes 0.5 ms to make."""
        if not shape.is_general:
            return make(shape)
        return of_shape((self.table.name, make.__name__, shape), lambda: Statement(make(shape)))

    def _page(self, shape: Shape) -> Select[Any]:
        query = shape.query
        statement = select(*self.columns).where(*self._conditions(query))
        if shape.after:
            statement = statement.where(query_sql.after(self.table, query.order, shape.after))
        return statement.order_by(*query_sql.order_columns(self.table, self._terms(query))).limit(bindparam("limit"))

    def _count(self, shape: Shape) -> Select[Any]:
        return select(func.count()).select_from(self.table).where(*self._conditions(shape.query))

    def _page_in_order_of_ids(self, after: SortKey | None, limit: int) -> Read[Sequence[Row]]:
        """Read a page in the usual order, which is prepared."""
        if after:
            return Read(self._page_by_id, {"after": after[0], "limit": limit}, _all_rows)
        return Read(self._first_page_by_id, {"limit": limit}, _all_rows)

    def _ordered(self, query: Query) -> Query:
        return query if query.order else replace(query, order=self._default_order)

    def _terms(self, query: Query) -> Sequence[OrderTerm]:
        """Return the order of `query`; a field that is equal in all its rows goes before the id: one index has both."""
        first, *_ = *query.order, BY_ID
        agreed = query_sql.agreed_field(self.table, query.filter) if first.field == BY_ID.field else None
        return [OrderTerm(agreed, first.descending), first] if agreed else query.order

    def _conditions(self, query: Query) -> list[ColumnElement[bool]]:
        return [query_sql.condition(self.table, query.filter)] if query.filter else []


def _all_rows(rows: Sequence[tuple[Any, ...]]) -> Sequence[Row]:
    return rows
