"""The SQL of sprockets: each change counts in the factory and in its chart, in the same transaction."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select

from sprocket_grpc.errors import NotFoundError, ReferenceNotFoundError
from sprocket_grpc.models import factory, sprocket
from sprocket_grpc.store import chart
from sprocket_grpc.store.listed import Row
from sprocket_grpc.store.references import IDENTIFIERS, existing, foreign_keys, missing_reference
from sprocket_grpc.store.resource import ResourceStore, Values


def _new(name: str) -> BindParameter[str]:
    """Make a parameter. SQLAlchemy takes one with a column's own name for a value of every UPDATE it finds."""
    return bindparam(f"new_{name}", type_=sprocket.c[name].type)


# What a sprocket is made of: all but what PostgreSQL sets itself, the factory first.
_SET_BY_POSTGRESQL = {"create_time", "update_time"}
_FIELDS = ["factory_id", *(c.name for c in sprocket.c if c.name not in {"factory_id", *_SET_BY_POSTGRESQL})]

# One statement is one round trip and one commit, so the factory's row is locked for as short as it can be.
# Without the factory there is nothing to select from, and no sprocket is made.
_COUNTED = chart.actual_changed(by=1).where(factory.c.id == _new("factory_id")).returning(*factory.c).cte("counted")
_CREATED = (
    insert(sprocket)
    .from_select(_FIELDS, select(_COUNTED.c.id, *map(_new, _FIELDS[1:])))
    .returning(*sprocket.c)
    .cte("created")
)

# In the order of their ids, so that two of these cannot deadlock.
_DOOMED = (
    select(sprocket.c.id)
    .where(sprocket.c.id == func.any(bindparam("ids", type_=IDENTIFIERS)))
    .order_by(sprocket.c.id)
    .with_for_update()
    .cte("doomed")
)
_DELETE_MANY = (
    delete(sprocket).where(sprocket.c.id.in_(select(_DOOMED.c.id))).returning(sprocket.c.id, sprocket.c.factory_id)
)


class SprocketStore(ResourceStore):
    """Keeps sprockets, and counts them in their factories."""

    def __init__(self) -> None:
        super().__init__(sprocket)
        self._create = self.fields_of(_CREATED).add_cte(chart.recorded(_COUNTED))

    def delete(self, connection: Connection, identifier: str) -> None:
        """Delete a sprocket and count it out of its factory, which takes a transaction.

        In a single statement the count could be made from what the factory was before a move that it waited for.

        Raises:
            NotFoundError: There is none.
        """
        self.delete_many(connection, [identifier])

    def insert_in_transaction(self, connection: Connection, values: Values) -> Row:
        """Add a sprocket as `insert` does, where a statement that fails would end the transaction.

        Raises:
            ReferenceNotFoundError: It refers to rows that do not exist.
        """
        chart.lock(connection, [values["factory_id"]])  # first, as `insert` does
        return super().insert_in_transaction(connection, values)

    def insert_many(self, connection: Connection, several: Sequence[Values]) -> list[Row]:
        """Add sprockets, all or none, and return them in their order.

        Raises:
            ReferenceNotFoundError: Some refer to rows that do not exist. It names them by their indexes.
        """
        chart.lock(connection, (values["factory_id"] for values in several))
        self._require_references_of(connection, several)
        chart.count(connection, Counter(values["factory_id"] for values in several))
        identified = [self.identified(values) for values in several]
        rows = connection.execute(insert(sprocket).returning(*self.columns), identified)
        by_id = {row[0]: row for row in rows}
        return [by_id[values["id"]] for values in identified]

    def delete_many(self, connection: Connection, identifiers: Sequence[str]) -> None:
        """Delete sprockets, all or none, and count them out of their factories.

        Raises:
            NotFoundError: Some do not exist. It names them.
        """
        left = connection.execute(_DELETE_MANY, {"ids": sorted(identifiers)}).all()
        missing = set(identifiers) - {row.id for row in left}
        if missing:
            raise NotFoundError(sprocket.name, *(each for each in identifiers if each in missing))
        leaving = Counter(row.factory_id for row in left)
        chart.count(connection, {factory_id: -number for factory_id, number in leaving.items()})

    def _require_references_of(self, connection: Connection, several: Sequence[Values]) -> None:
        missing = []
        for key in foreign_keys(sprocket):
            wanted = [values[key.parent.name] for values in several]
            there = existing(connection, key, wanted)
            lost = [(index, each) for index, each in enumerate(wanted) if each not in there]
            missing += [missing_reference(f"sprockets[{index}]", key, each) for index, each in lost]
        if missing:
            raise ReferenceNotFoundError(missing)

    def _insert(self, connection: Connection, values: Values) -> Row | None:
        return connection.execute(self._create, {f"new_{name}": value for name, value in values.items()}).first()

    def _update(self, connection: Connection, stored: Row, changes: Values) -> Row:
        before: str = stored[self.columns.index(sprocket.c.factory_id)]
        after: str = changes.get("factory_id", before)
        if after != before:
            chart.count(connection, {before: -1, after: 1})
        return super()._update(connection, stored, changes)
