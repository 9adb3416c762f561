"""The SQL of deletions with `force`: rows that refer to a row are deleted first, and the counters corrected.

Locks are taken from the leaves up (sprockets, then factories, then what they refer to), as all other writes do,
and within a table in the order of ids. What is added between two of them is caught by the deletion, which
comes last; at worst PostgreSQL finds a deadlock, and the call is ABORTED.

A caller that is limited to factories is refused before it locks rows of others or waits for their locks, and again
afterwards, since rows may have been added meanwhile.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, func, select

from sprocket_grpc.storage import chart_writes
from sprocket_grpc.storage.access import is_limited, require_factories
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.tables import factory, location, sprocket, sprocket_type


def delete_factories_of_location(connection: Connection, identifier: str) -> None:
    """Delete the factories at a location, with their charts and sprockets."""
    at_location = factory.c.location_id == identifier
    factories = select(factory.c.id).where(at_location)
    in_factories = sprocket.c.factory_id.in_(factories)
    _require(connection, factories)
    _lock(connection, sprocket, in_factories)
    _lock(connection, factory, at_location)
    _lock(connection, location, location.c.id == identifier)
    _require(connection, factories)
    connection.execute(delete(sprocket).where(in_factories))
    connection.execute(delete(factory).where(at_location))


def delete_sprockets_of_type(connection: Connection, identifier: str) -> None:
    """Delete the sprockets of a type, and decrease the counters of their factories."""
    of_type = sprocket.c.sprocket_type_id == identifier
    _require(connection, select(sprocket.c.factory_id).where(of_type).distinct())
    _lock(connection, sprocket, of_type)
    _lock(connection, factory, factory.c.id.in_(select(sprocket.c.factory_id).where(of_type)))
    _lock(connection, sprocket_type, sprocket_type.c.id == identifier)
    gone = delete(sprocket).where(of_type).returning(sprocket.c.factory_id).cte("gone")
    counted = select(gone.c.factory_id, func.count().label("number")).group_by(gone.c.factory_id)
    # This checks the factories again.
    chart_writes.count(connection, {factory_id: -number for factory_id, number in connection.execute(counted)})


def delete_sprockets_of_factory(connection: Connection, identifier: str) -> None:
    """Delete the sprockets of a factory that is deleted next, with its counter and chart."""
    require_factories([identifier])
    of_factory = sprocket.c.factory_id == identifier
    _lock(connection, sprocket, of_factory)
    _lock(connection, factory, factory.c.id == identifier)
    connection.execute(delete(sprocket).where(of_factory))


def _require(connection: Connection, factories: Select[Any]) -> None:
    if is_limited():
        require_factories(sorted(set(connection.scalars(factories))))


def _lock(connection: Connection, table: Table, condition: ColumnElement[bool]) -> None:
    locked = select(table.c.id).where(condition).order_by(table.c.id).with_for_update().cte("locked")
    connection.execute(select(func.count()).select_from(locked))
