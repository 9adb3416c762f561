"""The SQL of the standard methods, for every table that has an id."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, TypeAlias

import uuid_utils
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    ForeignKey,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from sprocket_grpc.caller import Caller, current_caller
from sprocket_grpc.errors import AbortedError, NotFoundError, ReferenceNotFoundError, ResourceInUseError
from sprocket_grpc.storage.arrays import given_rows, in_arrays
from sprocket_grpc.storage.listing import ID, ListStore, Row
from sprocket_grpc.storage.postgres.caller_setting import SET_CALLER
from sprocket_grpc.storage.postgres.connection import Connection, Result
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS
from sprocket_grpc.storage.references import existing, foreign_keys, missing_reference, missing_references

_NEW = "new_"
"""SQLAlchemy takes a parameter with a column's own name for a value of every UPDATE it finds."""

Values: TypeAlias = dict[str, Any]
"""Fields of a resource by their names."""

_RESERVE = Statement(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("id", type_=Text), 0))))


def as_new(values: Values) -> Values:
    """Return values by the names of the parameters that `ResourceStore.new` makes."""
    return {f"{_NEW}{name}": value for name, value in values.items()}


def as_change(stored: Row, changes: Values, caller: Caller) -> Values:
    """Return the parameters of a statement that changes a row in the name of a caller."""
    return {"id": stored[ID], "caller": caller.to_json(), **as_new(changes)}


class ResourceStore(ListStore):
    """Stores one kind of resource."""

    def __init__(self, table: Table, delete_referrers: Callable[[Connection, str], None] | None = None) -> None:
        super().__init__(table)
        self._delete_referrers = delete_referrers
        identified = table.c.id == bindparam("id")
        by_id = select(*self.columns).where(identified)
        self._get = Statement(by_id)
        self._lock = Statement(by_id.with_for_update(key_share=True))
        among = table.c.id == func.any(bindparam("ids", type_=IDENTIFIERS))
        self._select_many = Statement(select(*self.columns).where(among))
        self._lock_free = Statement(
            select(*self.columns).where(among).with_for_update(key_share=True, skip_locked=True)
        )
        self._delete = Statement(delete(table).where(identified).returning(table.c.id))
        # A statement for each set of fields, of which there are few: rules and update masks name them.
        self._insertion = cache(self._make_insertion)
        self._insertion_of_many = cache(self._make_insertion_of_many)
        self._change = cache(self._make_change)

    def get(self, identifier: str) -> Read[Row]:
        """Read one row.

        Raises:
            NotFoundError: No row has this id.
        """
        return Read(
            self._get, {"id": identifier}, lambda rows: self.require_found(rows[0] if rows else None, identifier)
        )

    def get_many(self, identifiers: Sequence[str]) -> Read[list[Row]]:
        """Read several rows, in the order of `identifiers`.

        Raises:
            NotFoundError: Some do not exist. It names them.
        """
        return Read(self._select_many, {"ids": list(set(identifiers))}, partial(self._in_order, identifiers))

    def lock(self, connection: Connection, identifier: str) -> Row:
        """Read one row, and lock it until the transaction ends.

        Raises:
            NotFoundError: No row has this id.
        """
        return self.require_found(self.find(connection, identifier), identifier)

    def find(self, connection: Connection, identifier: str) -> Row | None:
        """Read one row, if there is one, and lock it until the transaction ends."""
        return connection.execute(self._lock, {"id": identifier}).first()

    def lock_free(self, connection: Connection, identifiers: Sequence[str]) -> dict[str, Row]:
        """Read rows by their ids, and lock them until the transaction ends. Waits for no lock.

        Returns:
            The rows by their ids, without those that another transaction has locked.
        """
        return {row[ID]: row for row in connection.execute(self._lock_free, {"ids": [*identifiers]})}

    def reserve(self, connection: Connection, identifier: str) -> None:
        """Lock an id, which needs no row, against others that reserve it until the transaction ends."""
        connection.execute(_RESERVE, {"id": identifier})

    def insert(self, connection: Connection, values: Values) -> Row:
        """Add a row in a single statement, with an id of its own unless one is given.

        Raises:
            ReferenceNotFoundError: It refers to rows that do not exist.
        """
        with suppress(ForeignKeyViolation):
            row = self._insert(connection, self.with_id(values)).first()
            if row is not None:
                return row
        self.require_references(connection, values)
        raise AbortedError  # a missing reference was created meanwhile

    def insert_in_transaction(self, connection: Connection, values: Values) -> Callable[[], Row]:
        """Add a row as `insert` does, where a statement that fails would end the transaction.

        Returns:
            The row, once it is looked at.

        Raises:
            ReferenceNotFoundError: It refers to rows that do not exist.
        """
        identified = self.with_id(values)
        self.require_references(connection, values)
        return self._insert(connection, identified).one  # the references are locked, so it cannot fail

    def insert_many(self, connection: Connection, several: Sequence[Values], field: str) -> list[Row]:
        """Add rows with the same fields, all or none, and return them in their order.

        Args:
            connection: The connection of a transaction.
            several: The rows, at least one.
            field: The field of the request that has them.

        Raises:
            ReferenceNotFoundError: Some refer to rows that do not exist. It names them by their indexes.
        """
        identified = [self.with_id(values) for values in several]
        missing = [
            missing_reference(f"{field}[{index}]", key, identifier)
            for index, key, identifier in missing_references(connection, self.table, several)
        ]
        if missing:
            raise ReferenceNotFoundError(missing)
        names = tuple(identified[0])
        rows = connection.execute(self._insertion_of_many(names), in_arrays(identified, names)).all()
        return self._in_order([values["id"] for values in identified], rows)

    def update(
        self, connection: Connection, stored: Row, changes: Values, caller: Caller | None = None
    ) -> Callable[[], Row]:
        """Change fields of a row that is locked by this transaction.

        Args:
            connection: The connection that holds the lock.
            stored: The row as it is.
            changes: The fields to change, at least one.
            caller: Who changes it, if not the current caller.

        Returns:
            The changed row, once it is looked at.

        Raises:
            ReferenceNotFoundError: They refer to rows that do not exist.
        """
        self.require_references(connection, changes)
        return self._update(connection, stored, changes, caller or current_caller())

    def delete(self, connection: Connection, identifier: str) -> None:
        """Delete a row.

        Raises:
            NotFoundError: No row has this id.
            ResourceInUseError: Others refer to it.
        """
        try:
            self.require_found(connection.execute(self._delete, {"id": identifier}).first(), identifier)
        except ForeignKeyViolation as error:
            # PostgreSQL reports the table whose foreign key forbids it.
            raise ResourceInUseError(self.table.name, identifier, str(error.diag.table_name)) from error

    def delete_cascade(self, connection: Connection, identifier: str) -> None:
        """Delete all rows that refer to a row, then the row.

        Raises:
            NotFoundError: No row has this id.
        """
        if self._delete_referrers is not None:
            self._delete_referrers(connection, identifier)
        self.delete(connection, identifier)

    def require_references(self, connection: Connection, values: Values) -> None:
        """Check that the rows that `values` refer to exist, and lock them until the transaction ends.

        Raises:
            ReferenceNotFoundError: Some do not. It names all of them.
        """
        references = self.references_in(values)
        missing = [key for key in references if not existing(connection, key, [values[key.parent.name]])]
        if missing:
            raise ReferenceNotFoundError(
                [missing_reference(self.table.name, key, values[key.parent.name]) for key in missing]
            )

    def references_in(self, values: Values) -> list[ForeignKey]:
        """Return the foreign keys that `values` set."""
        return [key for key in foreign_keys(self.table) if key.parent.name in values]

    def require_found(self, row: Row | None, identifier: str) -> Row:
        """Return the row.

        Raises:
            NotFoundError: No row has this id.
        """
        if row is None:
            raise NotFoundError(self.table.name, identifier)
        return row

    def with_id(self, values: Values) -> Values:
        """Return values with a new id, unless they have one."""
        return {"id": str(uuid_utils.uuid7()), **values}

    def new_update_time(self) -> Values:
        """Return the new update time, later than the old one even if the clock was set back: etags depend on it."""
        later = self.table.c.update_time + literal_column("interval '1 microsecond'")
        return {"update_time": func.greatest(func.clock_timestamp(), later)}

    def fields_of(self, changed: CTE, set_caller: ColumnElement[str] = SET_CALLER) -> Select[Any]:
        """Make the SELECT of the resource's fields from rows that its statement writes in the name of the caller.

        Triggers fire at the end of a statement, so they know the name by then.
        """
        return select(*(changed.c[column.name] for column in self.columns)).where(set_caller.is_not(None))

    def _in_order(self, identifiers: Sequence[str], rows: Sequence[Row]) -> list[Row]:
        by_id = {row[ID]: row for row in rows}
        missing = [identifier for identifier in dict.fromkeys(identifiers) if identifier not in by_id]
        if missing:
            raise NotFoundError(self.table.name, *missing)
        return [by_id[identifier] for identifier in identifiers]

    def _insert(self, connection: Connection, values: Values) -> Result:
        return connection.execute(self._insertion(tuple(values)), as_new(values))

    def _update(self, connection: Connection, stored: Row, changes: Values, caller: Caller) -> Callable[[], Row]:
        return connection.execute(self._change(tuple(changes)), as_change(stored, changes, caller)).one

    def _make_insertion(self, names: tuple[str, ...]) -> Statement:
        created = insert(self.table).values(self.new(names)).returning(*self.columns).cte("created")
        return Statement(self.fields_of(created))

    def _make_insertion_of_many(self, names: tuple[str, ...]) -> Statement:
        rows = select(given_rows(self.table, names))
        return Statement(insert(self.table).from_select(names, rows).returning(*self.columns))

    def _make_change(self, names: tuple[str, ...]) -> Statement:
        changing = update(self.table).where(self.table.c.id == bindparam("id"))
        changed = changing.values(**self.new(names), **self.new_update_time()).returning(*self.table.c)
        return Statement(self.fields_of(changed.cte("changed")))

    def new(self, names: Iterable[str]) -> dict[str, BindParameter[Any]]:
        """Return the parameters for new values of columns, by the columns' names; `as_new` gives their values."""
        return {name: bindparam(f"{_NEW}{name}", type_=self.table.c[name].type) for name in names}
