"""`sprocket-grpc audit`: who did what, read from the database."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import click
from google.protobuf.json_format import MessageToDict
from sqlalchemy import Connection

from sprocket.v1.audit_pb2 import AuditEntry
from sprocket_grpc.cli.chart.since import Since, SinceType
from sprocket_grpc.cli.chart.times import now_micros
from sprocket_grpc.cli.client.text import printable
from sprocket_grpc.cli.setup import load_settings_and_log, open_database
from sprocket_grpc.query.expression import And, Comparison, Operator
from sprocket_grpc.query.listing import Query
from sprocket_grpc.services.audit_entry import AuditEntries
from sprocket_grpc.storage.audit import AuditStore, first_id
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.schema_version import find_problem

_READ_AT_ONCE = 1_000
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")
_SHOWN_ABOVE = {"id", "create_time", "update_time"}
"""Fields of a resource that the first line of an entry makes superfluous."""


@click.command("audit")
@click.option("--resource", type=click.UUID, help="Only writes of the resource with this id.")
@click.option("--principal", help="Only writes by this caller.")
@click.option("--since", type=SinceType(), help="Only what is newer: 90s, 30m, 12h, 7d, 4w, or a time (RFC 3339).")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="No more than so many.")
@click.option("--json", "as_json", is_flag=True, help="Print an AuditEntry in JSON on each line, for programs.")
def audit_command(
    resource: UUID | None, principal: str | None, since: Since | None, limit: int, *, as_json: bool
) -> None:
    """Show who changed which resource, when and how, the newest first."""
    query = _query(resource, principal, since)
    with (
        open_database(load_settings_and_log(), say_to_errors=True) as url,
        create_plain_engine(url).connect() as connection,
    ):
        if problem := find_problem(connection):
            raise click.ClickException(problem)
        for entry in _entries(connection, query, limit):
            click.echo(json.dumps(_as_dict(entry)) if as_json else "\n".join(_lines(entry)))


def _query(resource: UUID | None, principal: str | None, since: Since | None) -> Query:
    conditions = []
    if resource:
        conditions.append(Comparison("resource_id", Operator.EQUAL, str(resource)))
    if principal is not None:
        conditions.append(Comparison("principal", Operator.EQUAL, principal))
    if since:
        conditions.append(Comparison("id", Operator.GREATER_OR_EQUAL, first_id(max(0, since.start(now_micros())))))
    return Query(filter=And(tuple(conditions)) if conditions else None)


def _entries(connection: Connection, query: Query, limit: int) -> Iterator[AuditEntry]:
    store, described, after = AuditStore(), AuditEntries(), None
    while rows := store.page(query, after, min(limit, _READ_AT_ONCE)).on(connection):
        for row in rows:
            described.assign(entry := AuditEntry(), row)
            yield entry
        limit -= len(rows)
        if limit == 0:
            return
        after = store.sort_key(query, rows[-1])


def _as_dict(message: Any) -> dict[str, Any]:  # noqa: ANN401  # an entry or a Struct
    return MessageToDict(message, preserving_proto_field_name=True)


def _lines(entry: AuditEntry) -> list[str]:
    """Show an entry as a person reads it: who did what to which, how, and each field from what to what."""
    time = f"{entry.create_time.ToDatetime():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    kind = entry.resource_type.rpartition(".")[2]
    lines = [f"{time} UTC  {entry.principal} {_verb(entry)} {kind} {entry.resource_id}"]
    if entry.method:
        lines.append(f"  by {entry.method.rpartition('/')[2]}, request id {entry.request_id}")
    lines += _changes(_as_dict(entry.before), _as_dict(entry.after))
    return [*map(printable, lines), ""]


def _verb(entry: AuditEntry) -> str:
    if not entry.HasField("before"):
        return "created"
    return "updated" if entry.HasField("after") else "deleted"


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Show what differs; of what was created or deleted, everything."""
    names = sorted(name for name in {*before, *after} - _SHOWN_ABOVE if before.get(name) != after.get(name))
    width = max(map(len, names), default=0)
    return [f"  {name:{width}}  {_change(name, before, after)}" for name in names]


def _change(name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    return " -> ".join(_shown(side[name]) for side in (before, after) if name in side)


def _shown(value: Any) -> str:  # noqa: ANN401  # any that JSON has
    """Show a value. Whole numbers of 64 bits are texts in JSON, which would only puzzle a person."""
    is_number = isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value)
    return str(value) if is_number else json.dumps(value, ensure_ascii=False)
