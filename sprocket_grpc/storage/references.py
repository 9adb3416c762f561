"""The SQL of references from one resource to another."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ForeignKey, Table, bindparam, func, select

from sprocket_grpc.errors import Violation
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS


@cache
def foreign_keys(table: Table) -> list[ForeignKey]:
    """Return the foreign keys of a table, in the order of their columns' names."""
    return sorted(table.foreign_keys, key=lambda key: key.parent.name)


def existing(connection: Connection, key: ForeignKey, identifiers: Sequence[str]) -> set[str]:
    """Return the ids that a foreign key may refer to, and lock their rows until the transaction ends."""
    return set(connection.scalars(_lock(key), {"ids": sorted(set(identifiers))}))


def missing_references(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, ForeignKey, str]]:
    """Find what new rows refer to that does not exist: the index of the row, the foreign key, and the id.

    What exists is locked until the transaction ends, as `existing` does.
    """
    for key in foreign_keys(table):
        wanted = [row[key.parent.name] for row in rows]
        there = existing(connection, key, wanted)
        yield from ((index, key, each) for index, each in enumerate(wanted) if each not in there)


@cache
def _lock(key: ForeignKey) -> Statement:
    wanted = key.column == func.any(bindparam("ids", type_=IDENTIFIERS))
    return Statement(select(key.column).where(wanted).order_by(key.column).with_for_update(read=True, key_share=True))


def missing_reference(prefix: str, key: ForeignKey, identifier: str) -> Violation:
    """Make the violation of a reference that does not exist; columns have the names of fields."""
    return Violation(
        f"{prefix}.{key.parent.name}", f"there is no {key.column.table.name} with id {identifier}", identifier
    )
