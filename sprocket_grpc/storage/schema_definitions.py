"""The constraints, indexes and partitions of a schema, as `migrate --check` expects and finds them.

Alembic compares neither CHECKs, primary keys, collations nor partitions, nor whether PostgreSQL has validated them.
"""

import re
from collections.abc import Iterator

from sqlalchemy import CheckConstraint, Connection, text
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.schema import AddConstraint, CreateIndex, ExecutableDDLElement

from sprocket_grpc.storage.tables import audit_entry, metadata

DEFAULT_PARTITION = f"{audit_entry.name}_default"
"""Has the entries for which there is no month, so that no write fails for lack of a partition."""

_DIALECT = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy forgot it

# Of all tables but Alembic's own and partitions, which have those of the table that they are part of.
_FOUND = text("""
    WITH own AS (
        SELECT oid FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND relname <> 'alembic_version'
    )
    SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid IN (SELECT oid FROM own) AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT regexp_replace(pg_get_indexdef(indexrelid), ' ON (ONLY )?\\S+ USING btree',
                          format(' ON %s', indrelid::regclass))
           || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END
    FROM pg_index WHERE indrelid IN (SELECT oid FROM own)
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT format('PARTITION %s BY %s', oid::regclass, pg_get_partkeydef(oid))
    FROM own WHERE pg_get_partkeydef(oid) IS NOT NULL
""")

_PARTITIONS = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = :table ::regclass ORDER BY 1")

_CAST = re.compile(r"::(double precision|timestamp with(out)? time zone|\w+)(\[\])?")


def definitions() -> set[str]:
    """Return what tables.py says, in the form of `found_definitions`."""
    return {plain(each) for each in _definitions()}


def found_definitions(connection: Connection) -> set[str]:
    """Return what the database has: a text for each constraint, index and partitioned table."""
    return {plain(each) for each in connection.scalars(_FOUND)}


def partitions(connection: Connection) -> list[str]:
    """Return the names of the partitions of the audit log."""
    return list(connection.scalars(_PARTITIONS, {"table": audit_entry.name}))


def plain(definition: str) -> str:
    """Return a definition without what PostgreSQL adds to it, casts and parentheses, and without commas."""
    return " ".join(re.sub(r"[(),]", " ", _CAST.sub("", definition)).split())


def _definitions() -> Iterator[str]:
    for table in metadata.sorted_tables:
        yield from (_ddl(AddConstraint(each, isolate_from_table=False)) for each in table.constraints)
        for check in (each for column in table.c for each in column.constraints if isinstance(each, CheckConstraint)):
            yield f"ALTER TABLE {table.name} ADD CONSTRAINT {check.name} CHECK {check.sqltext}"
        yield from (_ddl(CreateIndex(each)) for each in table.indexes)
        if key := table.dialect_options["postgresql"]["partition_by"]:
            yield f"PARTITION {table.name} BY {key}"


def _ddl(element: ExecutableDDLElement) -> str:
    return str(element.compile(dialect=_DIALECT))
