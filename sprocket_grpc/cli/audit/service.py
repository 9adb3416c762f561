"""Reads the audit log through AuditService."""

from collections.abc import Generator

from sprocket.v1.audit_pb2 import AuditEntry
from sprocket_grpc.cli.audit.selection import Selection
from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.filters import quoted
from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.cli.resources.catalogue import catalogue
from sprocket_grpc.cli.times import rfc_3339


def read_entries(connection: Connection, timeout: float, selection: Selection) -> Generator[AuditEntry, None, None]:
    """Yield the selected entries, the newest first, page by page.

    Args:
        connection: How to reach the server.
        timeout: How many seconds a call may take.
        selection: Which entries to yield.

    Raises:
        ClientError: A call failed.
    """
    with connected(connection) as server:
        pages = Caller(server, timeout).pages(catalogue()["audit-entry"], selection.limit, filter=_filter(selection))
        for page in pages:
            yield from page.audit_entries


def _filter(selection: Selection) -> str:
    conditions = []
    if selection.resource:
        conditions.append(f"resource_id = {quoted(str(selection.resource))}")
    if selection.principal is not None:
        conditions.append(f"principal = {quoted(selection.principal)}")
    if selection.since is not None:
        # The server has an index on the id only, and the contract says that ids are UUIDs of version 7.
        conditions += [f"id >= {_lowest_id(selection.since)}", f'create_time >= "{rfc_3339(selection.since)}"']
    return " AND ".join(conditions)


def _lowest_id(micros: int) -> str:
    """Return the lowest UUID of version 7 (RFC 9562) of the millisecond of a time, or of 1970 for earlier times."""
    milliseconds = f"{max(0, micros) // 1000:012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000000"
