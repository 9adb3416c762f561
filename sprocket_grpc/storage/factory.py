"""The SQL of factories: a change of the goal adds an entry to the chart in the same statement."""

from sqlalchemy import Connection, func, insert, update

from sprocket_grpc.storage import cascade, chart_writes
from sprocket_grpc.storage.access import require_factories, require_new_factories
from sprocket_grpc.storage.listing import ID, Row
from sprocket_grpc.storage.postgres.types import epoch_micros
from sprocket_grpc.storage.resource import ResourceStore, Values
from sprocket_grpc.storage.tables import factory


class FactoryStore(ResourceStore):
    """Keeps factories and their charts."""

    def __init__(self) -> None:
        super().__init__(factory, cascade.delete_sprockets_of_factory)

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

    def _insert(self, connection: Connection, values: Values) -> Row | None:
        first_entry = {"chart_sequence": 1, "chart_time_micros": epoch_micros(func.now())}
        statement = insert(factory).values(**values, sprocket_production_actual=0, **first_entry)
        created = statement.returning(*factory.c).cte("created")
        return connection.execute(self.fields_of(created).add_cte(chart_writes.recorded(created))).first()

    def _update(self, connection: Connection, stored: Row, changes: Values) -> Row:
        goal = stored[self.columns.index(factory.c.sprocket_production_goal)]
        if changes.get("sprocket_production_goal", goal) == goal:
            return super()._update(connection, stored, changes)
        entry = chart_writes.next_entries()
        statement = (
            update(factory).where(factory.c.id == stored[ID]).values(**changes, **self.new_update_time(), **entry)
        )
        changed = statement.returning(*factory.c).cte("changed")
        return connection.execute(self.fields_of(changed).add_cte(chart_writes.recorded(changed))).one()
