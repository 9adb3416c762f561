"""Reads the audit log from the database of this environment. Needs the server's libraries."""

from collections.abc import Generator, Iterator

from sprocket.v1.audit_pb2 import AuditEntry
from sprocket_grpc.cli.audit.selection import Selection
from sprocket_grpc.cli.setup import open_connection
from sprocket_grpc.query.expression import And, Comparison, Operator
from sprocket_grpc.query.listing import Query
from sprocket_grpc.services.audit_entry import AuditEntries
from sprocket_grpc.storage.audit import AuditStore, first_id
from sprocket_grpc.storage.listing import Row
from sprocket_grpc.storage.postgres.engine import Connection

_PAGE_SIZE = 1_000


def read_entries(selection: Selection) -> Generator[AuditEntry, None, None]:
    """Yield the selected entries, the newest first.

    Raises:
        ExpectedError: The database cannot be read.
    """
    described = AuditEntries()
    with open_connection() as connection:
        for row in _rows(connection, _query(selection), selection.limit):
            described.assign(entry := AuditEntry(), row)
            yield entry


def _query(selection: Selection) -> Query:
    conditions = []
    if selection.resource:
        conditions.append(Comparison("resource_id", Operator.EQUAL, str(selection.resource)))
    if selection.principal is not None:
        conditions.append(Comparison("principal", Operator.EQUAL, selection.principal))
    if selection.since is not None:
        conditions.append(Comparison("id", Operator.GREATER_OR_EQUAL, first_id(max(0, selection.since))))
    return Query(filter=And(tuple(conditions)) if conditions else None)


def _rows(connection: Connection, query: Query, limit: int) -> Iterator[Row]:
    store, after = AuditStore(), None
    while rows := store.page(query, after, min(limit, _PAGE_SIZE)).on(connection):
        yield from rows
        limit -= len(rows)
        if limit == 0:
            return
        after = store.sort_key(query, rows[-1])
