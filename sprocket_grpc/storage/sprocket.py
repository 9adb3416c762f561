"""Stores sprockets, and counts them in their factories: a change and its chart entry are one transaction."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby
from typing import Any

from sqlalchemy import ColumnElement

from sprocket_grpc.caller import Caller
from sprocket_grpc.errors import AbortedError, ReferenceNotFoundError, SprocketError, Violation
from sprocket_grpc.storage import chart_writes
from sprocket_grpc.storage.access import is_limited, not_found, permits, require_factories
from sprocket_grpc.storage.arrays import in_arrays
from sprocket_grpc.storage.listing import ID, Row
from sprocket_grpc.storage.postgres.caller_setting import SET_CALLER, SET_CALLERS, callers_of
from sprocket_grpc.storage.postgres.connection import Connection, Result
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.references import missing_reference, missing_references
from sprocket_grpc.storage.resource import ResourceStore, Values, as_new
from sprocket_grpc.storage.sprocket_statements import (
    DELETE_FREE,
    DELETE_MANY,
    EACH,
    EACH_FREE,
    FACTORIES,
    FIELDS,
    ONE,
    ONE_FREE,
    Creation,
)
from sprocket_grpc.storage.tables import sprocket


class SprocketStore(ResourceStore):
    """Stores sprockets, and counts them in their factories."""

    def __init__(self) -> None:
        super().__init__(sprocket)
        self._factory = self.index_of(sprocket.c.factory_id)
        self._create = self._statement_of(ONE, SET_CALLER)
        self._create_free = self._statement_of(ONE_FREE, SET_CALLER)
        self._create_each = self._statement_of(EACH, SET_CALLERS)
        self._create_each_free = self._statement_of(EACH_FREE, SET_CALLERS)

    def lock(self, connection: Connection, identifier: str) -> Row:
        """Read one sprocket, and lock it until the transaction ends.

        Raises:
            NotFoundError: No sprocket has this id.
            OutOfReachError: The caller may not access its factory.
        """
        row = self.find(connection, identifier)
        if row is None:
            raise not_found(sprocket.name, identifier)
        return row

    def find(self, connection: Connection, identifier: str) -> Row | None:
        """Read one sprocket, if there is one, and lock it until the transaction ends.

        Raises:
            OutOfReachError: The caller may not access its factory.
        """
        if is_limited():
            for _, factory_id in connection.execute(FACTORIES, {"ids": [identifier]}):
                _require_permitted(identifier, factory_id)
        row = super().find(connection, identifier)
        if row is not None:
            _require_permitted(identifier, self._factory_of(row))  # it may have been moved meanwhile
        return row

    def require_references(self, connection: Connection, values: Values) -> None:
        """Check that the rows that `values` refer to exist, and lock them until the transaction ends.

        Raises:
            OutOfReachError: The caller may not access the factory.
            ReferenceNotFoundError: Some do not exist.
        """
        if "factory_id" in values:
            require_factories([values["factory_id"]])
        super().require_references(connection, values)

    def delete(self, connection: Connection, identifier: str) -> None:
        """Delete a sprocket and decrease the counter of its factory; in a transaction.

        In a single statement the count could be made from what the factory was before a move that it waited for.

        Raises:
            NotFoundError: No sprocket has this id.
        """
        self.delete_many(connection, [identifier])

    def insert_in_transaction(self, connection: Connection, values: Values) -> Callable[[], Row]:
        """Add a sprocket as `insert` does, where a statement that fails would end the transaction.

        Returns:
            The row, once it is looked at.

        Raises:
            ReferenceNotFoundError: It refers to rows that do not exist.
        """
        chart_writes.lock(connection, [values["factory_id"]])  # first, as `insert` does
        return super().insert_in_transaction(connection, values)

    def insert_each(
        self, connection: Connection, several: Sequence[tuple[Values, Caller]]
    ) -> list[Row | SprocketError]:
        """Add sprockets of one factory in a single statement, each with its own entry and in the name of its caller.

        Returns:
            For each its row, or why it was not added: others are added all the same.
        """
        identified = [(self.with_id(values), caller) for values, caller in several]
        given = [values for values, _ in identified]
        results: dict[str, Row | SprocketError] = {
            row[ID]: row for row in connection.execute(self._create_each, _parameters_of_each(identified))
        }
        if refused := [values for values in given if values["id"] not in results]:
            results |= self._errors_of(connection, refused)
        return [results[values["id"]] for values in given]

    def insert_together(
        self, connection: Connection, several: Sequence[tuple[Values, Caller]]
    ) -> Callable[[], list[Row | None]]:
        """Add sprockets of any factories, each in the name of its caller, with few statements in one round trip.

        It waits for no lock.

        Returns:
            For each its row once they are looked at, or None if its factory or type does not exist or is locked.
        """
        given = [(self.with_id(values), caller) for values, caller in several]
        results: list[Result] = []
        for _, group in groupby(sorted(given, key=_factory_first), _factory_first):
            results.append(self._insert_group(connection, [*group]))
        return lambda: _rows_by_id([values for values, _ in given], chain.from_iterable(results))

    def _insert_group(self, connection: Connection, given: Sequence[tuple[Values, Caller]]) -> Result:
        [(values, caller), *others] = given
        if others:
            return connection.execute(self._create_each_free, _parameters_of_each(given))
        return connection.execute(self._create_free, as_new(values) | {"caller": caller.to_json()})

    def insert_many(self, connection: Connection, several: Sequence[Values], field: str) -> list[Row]:
        """Add sprockets, all or none, with one entry in the chart of each factory; return them in their order.

        Raises:
            OutOfReachError: The caller may not access the factories of some.
            ReferenceNotFoundError: Some refer to rows that do not exist. It names them by their indexes.
        """
        numbers = Counter(values["factory_id"] for values in several)
        chart_writes.lock(connection, numbers)
        rows = super().insert_many(connection, several, field)
        chart_writes.count(connection, numbers)
        return rows

    def delete_together(
        self, connection: Connection, several: Sequence[tuple[str, Caller]]
    ) -> Callable[[], list[bool]]:
        """Delete sprockets of any factories, each in the name of its caller, in one round trip. Waits for no lock.

        Returns:
            Whether each was deleted, once it is looked at: it may not exist, or it or its factory may be locked.
        """
        results = [
            connection.execute(DELETE_FREE, {"id": identifier, "caller": caller.to_json()})
            for identifier, caller in several
        ]
        return lambda: [result.rowcount > 0 for result in results]

    def delete_many(self, connection: Connection, identifiers: Sequence[str]) -> None:
        """Delete sprockets, all or none, and decrease the counters of their factories.

        Raises:
            NotFoundError: Some do not exist. It names them.
            OutOfReachError: The caller may not access the factories of some.
        """
        if is_limited():
            _require_all(identifiers, connection.execute(FACTORIES, {"ids": [*identifiers]}))
        left = connection.execute(DELETE_MANY, {"ids": sorted(identifiers)}).all()
        _require_all(identifiers, left)  # some may have been moved or deleted meanwhile
        leaving = Counter(factory_id for _, factory_id in left)
        chart_writes.count(connection, {factory_id: -number for factory_id, number in leaving.items()})

    def _errors_of(self, connection: Connection, refused: Sequence[Values]) -> dict[str, SprocketError]:
        """Return why sprockets could not be added, by their ids."""
        missing: dict[str, list[Violation]] = {values["id"]: [] for values in refused}
        for index, key, identifier in missing_references(connection, sprocket, refused):
            missing[refused[index]["id"]].append(missing_reference(sprocket.name, key, identifier))
        # A missing reference may have been created meanwhile.
        return {each: ReferenceNotFoundError(found) if found else AbortedError() for each, found in missing.items()}

    def _statement_of(self, creation: Creation, set_caller: ColumnElement[str]) -> Statement:
        return Statement(self.fields_of(creation.created, set_caller).add_cte(creation.recorded))

    def _insert(self, connection: Connection, values: Values) -> Result:
        return connection.execute(self._create, as_new(values))

    def _update(self, connection: Connection, stored: Row, changes: Values, caller: Caller) -> Callable[[], Row]:
        before = self._factory_of(stored)
        after: str = changes.get("factory_id", before)
        if after != before:
            chart_writes.count(connection, {before: -1, after: 1})
        return super()._update(connection, stored, changes, caller)

    def _factory_of(self, row: Row) -> str:
        factory_id: str = row[self._factory]
        return factory_id


def _rows_by_id(given: Sequence[Values], rows: Iterable[Row]) -> list[Row | None]:
    by_id = {row[ID]: row for row in rows}
    return [by_id.get(values["id"]) for values in given]


def _factory_first(creation: tuple[Values, Caller]) -> str:
    factory_id: str = creation[0]["factory_id"]
    return factory_id


def _parameters_of_each(given: Sequence[tuple[Values, Caller]]) -> dict[str, Any]:
    """Return the parameters that create sprockets of one factory, each in the name of its caller."""
    several = [values for values, _ in given]
    return in_arrays(several, FIELDS[1:]) | {
        "new_factory_id": several[0]["factory_id"],
        "callers": callers_of({values["id"]: caller for values, caller in given}),
    }


def _require_permitted(identifier: str, factory_id: str) -> None:
    if not permits(factory_id):
        raise not_found(sprocket.name, identifier)


def _require_all(identifiers: Sequence[str], rows: Iterable[Any]) -> None:
    """Check that all sprockets are among rows with their ids and factories, and that the caller may access these."""
    there = {each for each, factory_id in rows if permits(factory_id)}
    if missing := [each for each in identifiers if each not in there]:
        raise not_found(sprocket.name, *missing)
