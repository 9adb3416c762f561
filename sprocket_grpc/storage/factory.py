"""The SQL of factories: a change of the goal adds an entry to the chart in the same statement."""

from collections.abc import Callable
from functools import cache

from sqlalchemy import BigInteger, ColumnElement, Insert, Update, bindparam, func, insert, literal, select, update

from sprocket_grpc.caller import Caller
from sprocket_grpc.storage import cascade, chart_writes
from sprocket_grpc.storage.access import require_factories, require_new_factories
from sprocket_grpc.storage.arrays import given_rows
from sprocket_grpc.storage.listing import Row
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import epoch_micros
from sprocket_grpc.storage.resource import ResourceStore, Values, as_change
from sprocket_grpc.storage.tables import factory

_BEGINNING: dict[str, ColumnElement[int]] = {
    "sprocket_production_actual": literal(0, BigInteger),
    "chart_sequence": literal(1, BigInteger),
    "chart_time_micros": epoch_micros(func.now()),
}
"""The columns that every new factory has alike: nothing is made yet, and its chart has the first entry."""


class FactoryStore(ResourceStore):
    """Keeps factories and their charts."""

    def __init__(self) -> None:
        super().__init__(factory, cascade.delete_sprockets_of_factory)
        self._goal = self.index_of(factory.c.sprocket_production_goal)
        self._change_of_goal = cache(self._make_change_of_goal)

    def find(self, connection: Connection, identifier: str) -> Row | None:
        """Read one factory, if there is one, and lock it until the transaction ends.

        Raises:
            OutOfReachError: The caller may not access it.
        """
        require_factories([identifier])
        return super().find(connection, identifier)

    def delete(self, connection: Connection, identifier: str) -> None:
        """Delete a factory.

        Raises:
            OutOfReachError: The caller may not access it.
            NotFoundError: No factory has this id.
            ResourceInUseError: Others refer to it.
        """
        require_factories([identifier])
        super().delete(connection, identifier)

    def with_id(self, values: Values) -> Values:
        """Return values with a new id, unless they have one.

        Raises:
            OutOfReachError: The caller may not create the factory.
        """
        if "id" not in values:
            require_new_factories()
        return super().with_id(values)

    def _update(self, connection: Connection, stored: Row, changes: Values, caller: Caller) -> Callable[[], Row]:
        goal = stored[self._goal]
        if changes.get("sprocket_production_goal", goal) == goal:
            return super()._update(connection, stored, changes, caller)
        return connection.execute(self._change_of_goal(tuple(changes)), as_change(stored, changes, caller)).one

    def _make_insertion(self, names: tuple[str, ...]) -> Statement:
        return self._recorded(insert(factory).values(**self.new(names), **_BEGINNING))

    def _make_insertion_of_many(self, names: tuple[str, ...]) -> Statement:
        rows = select(given_rows(factory, names), *_BEGINNING.values())
        return self._recorded(insert(factory).from_select([*names, *_BEGINNING], rows))

    def _make_change_of_goal(self, names: tuple[str, ...]) -> Statement:
        values = {**self.new(names), **self.new_update_time(), **chart_writes.next_entries()}
        return self._recorded(update(factory).where(factory.c.id == bindparam("id")).values(values))

    def _recorded(self, write: Insert | Update) -> Statement:
        """Make the statement that writes factories, and adds an entry to the chart of each."""
        written = write.returning(*factory.c).cte("written")
        return Statement(self.fields_of(written).add_cte(chart_writes.recorded(written)))
