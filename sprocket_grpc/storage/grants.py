"""The privileges of the role that the server connects as: what its statements need, and no more."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Table, text

from sprocket_grpc.storage.schema_definitions import partitions
from sprocket_grpc.storage.tables import (
    RESOURCES,
    api_key,
    audit_entry,
    audit_retention,
    chart_entry,
    chart_expiry,
    chart_packing,
    chart_page,
    chart_retention,
    chart_start,
    metadata,
    page_token_key,
    recorded_request,
)


class Privileges(NamedTuple):
    """What the server does with a table beside reading it.

    Attributes:
        insert: The columns that it inserts. The others get their defaults.
        update: The columns that it updates; one is enough to lock rows.
        delete: Whether it deletes rows.
    """

    insert: Collection[str] = ()
    update: Collection[str] = ()
    delete: bool = False


def _but(table: Table, *names: str) -> list[str]:
    return [column.name for column in table.c if column.name not in names]


PRIVILEGES = {
    # PostgreSQL sets the times of a resource when it is created, and its id never changes.
    **{
        each: Privileges(
            insert=_but(each, "create_time", "update_time"), update=_but(each, "id", "create_time"), delete=True
        )
        for each in map(metadata.tables.__getitem__, RESOURCES)
    },
    # Append-only: PostgreSQL deletes a chart with its factory, as the owner of the tables.
    chart_entry: Privileges(insert=_but(chart_entry)),
    chart_page: Privileges(),  # pack_chart writes it as the owner
    chart_packing: Privileges(),
    chart_expiry: Privileges(),
    chart_start: Privileges(),  # expire_chart writes it as the owner
    chart_retention: Privileges(),  # the owner says how long entries are kept
    recorded_request: Privileges(
        insert=["id", "fingerprint", "response"], update=["create_time", "fingerprint", "response"], delete=True
    ),
    # The owner creates and revokes keys.
    api_key: Privileges(update=["last_use_time"]),
    page_token_key: Privileges(),
    audit_entry: Privileges(),  # triggers write it as the owner
    audit_retention: Privileges(),  # the owner says how long entries are kept
}
"""Of every table."""

FUNCTIONS = (
    "create_audit_partitions()",
    "drop_expired_audit_partition(integer)",
    "expire_chart(uuid, integer, integer)",
    "pack_chart(uuid, integer, integer)",
)
"""What the server calls. They run as the owner. Others run in triggers, which needs no privilege."""


def grant(connection: Connection, role: str) -> None:
    """Give a role exactly these privileges; it loses others that it has on the tables.

    The connection is of the role that owns the tables.
    """
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    for statement in _statements(quoted, partitions(connection)):
        connection.execute(text(statement))


def _statements(role: str, partitions: Sequence[str]) -> Iterator[str]:
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM {role}"
    tables = ["alembic_version", *(table.name for table in PRIVILEGES)]
    yield f"REVOKE ALL ON {', '.join([*tables, *partitions])} FROM {role}"
    yield f"GRANT SELECT ON {', '.join(tables)} TO {role}"
    yield f"GRANT EXECUTE ON FUNCTION {', '.join(FUNCTIONS)} TO {role}"
    for table, privileges in PRIVILEGES.items():
        kinds = {"INSERT": privileges.insert, "UPDATE": privileges.update}
        wanted = [f"{kind} ({', '.join(columns)})" for kind, columns in kinds.items() if columns]
        wanted += ["DELETE"] if privileges.delete else []
        if wanted:
            yield f"GRANT {', '.join(wanted)} ON {table.name} TO {role}"
