"""The tables: what the contract promises, said to PostgreSQL."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier, Instant

SCHEMA_REVISION = "0011"
"""The newest migration with `required_by_server = True`: the server is ready from this revision on.

A later one, such as a VALIDATE, does not make new pods wait. Revisions are numbers, so later ones compare greater.
"""

INTERNAL = {"internal": True}
"""Marks a column that is no field of the resource."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, maximum: int, *, required: bool = True) -> tuple[Column[str], CheckConstraint]:
    """Make a column for text of up to `maximum` characters, with the same bounds as a constraint.

    What counts as white space is for the service to say: btrim knows the space only, so it never refuses
    what the service let through.
    """
    bounds = f"char_length({name}) <= {maximum}" + (f" AND btrim({name}) <> ''" if required else "")
    return Column(name, Text, nullable=False), CheckConstraint(bounds, name=name)


def _measure(name: str) -> tuple[Column[float], CheckConstraint]:
    """Make a column for a length in millimetres. NaN is greater than all else to PostgreSQL."""
    return Column(name, Double, nullable=False), CheckConstraint(f"{name} > 0 AND {name} < 'Infinity'", name=name)


def _count(name: str) -> tuple[Column[int], CheckConstraint]:
    """Make a column for a number of sprockets."""
    return Column(name, BigInteger, nullable=False), CheckConstraint(f"{name} >= 0", name=name)


def _common() -> tuple[Column[Any], ...]:
    """Make the columns that every resource has."""
    return (
        Column("id", Identifier, nullable=False),
        Column("create_time", Instant, nullable=False, server_default=func.now()),
        Column("update_time", Instant, nullable=False, server_default=func.now()),
    )


location = Table(
    "location",
    metadata,
    *_common(),
    *_text("display_name", 63),
    *_text("address", 200),
    *_text("address_2", 200, required=False),
    *_text("city", 100),
    *_text("administrative_area", 100, required=False),
    *_text("postal_code", 20),
    Column("country_code", Text, CheckConstraint("country_code ~ '^[A-Z]{2}$'", name="country_code"), nullable=False),
    PrimaryKeyConstraint("id"),
)

sprocket_type = Table(
    "sprocket_type",
    metadata,
    *_common(),
    *_text("display_name", 63),
    Column("teeth", Integer, CheckConstraint("teeth >= 1 AND teeth <= 10000", name="teeth"), nullable=False),
    *_measure("pitch_mm"),
    *_measure("pitch_diameter_mm"),
    *_measure("outside_diameter_mm"),
    PrimaryKeyConstraint("id"),
)

factory = Table(
    "factory",
    metadata,
    *_common(),
    *_text("display_name", 63),
    Column("location_id", Identifier, ForeignKey("location.id"), nullable=False, index=True),
    *_count("sprocket_production_goal"),
    *_count("sprocket_production_actual"),
    # Where the chart stands. Kept here because the lock on this row is what orders the chart.
    Column("chart_sequence", BigInteger, nullable=False, info=INTERNAL),
    Column("chart_time_micros", BigInteger, nullable=False, info=INTERNAL),
    PrimaryKeyConstraint("id"),
)

sprocket = Table(
    "sprocket",
    metadata,
    *_common(),
    *_text("display_name", 63, required=False),
    Column("sprocket_type_id", Identifier, ForeignKey("sprocket_type.id"), nullable=False, index=True),
    Column("factory_id", Identifier, ForeignKey("factory.id"), nullable=False),
    # Begins with factory_id, so that the table can be partitioned or distributed by it.
    PrimaryKeyConstraint("factory_id", "id"),
    Index(None, "id"),
    # One for each field that lists can be filtered or ordered by, with the id behind it: a page is one range of it.
    Index(None, "sprocket_type_id", "id"),
    Index(None, "create_time", "id"),
    Index(None, "update_time", "id"),
)
Index("ix_sprocket_display_name_id", sprocket.c.display_name.collate("C"), sprocket.c.id)  # as lists compare text

chart_entry = Table(
    "chart_entry",
    metadata,
    Column("factory_id", Identifier, ForeignKey("factory.id", ondelete="CASCADE"), nullable=False),
    Column("sequence", BigInteger, CheckConstraint("sequence > 0", name="sequence"), nullable=False),
    # An integer, for a chart of a million entries is read a quarter faster than from timestamps.
    Column("time_micros", BigInteger, nullable=False),
    *_count("sprocket_production_goal"),
    *_count("sprocket_production_actual"),
    PrimaryKeyConstraint("factory_id", "sequence"),
)

chart_page = Table(
    "chart_page",
    metadata,
    Column("factory_id", Identifier, ForeignKey("factory.id", ondelete="CASCADE"), nullable=False),
    Column(
        "last_sequence",
        BigInteger,
        CheckConstraint(
            "last_sequence - first_sequence >= 0 AND last_sequence - first_sequence <= 4999",
            name="last_sequence_first_sequence",
        ),
        nullable=False,
    ),
    Column("first_sequence", BigInteger, CheckConstraint("first_sequence > 0", name="first_sequence"), nullable=False),
    Column("first_time_micros", BigInteger, nullable=False),
    Column("last_time_micros", BigInteger, nullable=False),
    # The first and the last entry, and those with the least and the greatest goal and actual, the earliest of each:
    # sequence, time, goal and actual. Summaries need no more of most pages.
    Column(
        "outline",
        ARRAY(BigInteger),
        CheckConstraint("array_dims(outline) = '[1:6][1:4]'", name="outline"),
        nullable=False,
    ),
    Column("checksum", BigInteger, nullable=False),  # CRC-32C of `wire`
    Column("wire", LargeBinary, nullable=False),
    PrimaryKeyConstraint("factory_id", "last_sequence"),
    Index(None, "factory_id", "last_time_micros", "last_sequence"),
    comment="Old entries of charts, as serialized messages FactoryChart. Written by pack_chart, and never changed.",
)

chart_packing = Table(
    "chart_packing",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="id"), autoincrement=False, nullable=False),
    Column("enable_time", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id"),
    comment="Has a row once no server runs that cannot read chart_page.",
)

chart_expiry = Table(
    "chart_expiry",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="id"), autoincrement=False, nullable=False),
    Column("enable_time", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("id"),
    comment="Has a row once no server runs that cannot read charts whose beginning has expired.",
)

chart_start = Table(
    "chart_start",
    metadata,
    Column("factory_id", Identifier, ForeignKey("factory.id", ondelete="CASCADE"), nullable=False),
    Column("first_sequence", BigInteger, CheckConstraint("first_sequence > 1", name="first_sequence"), nullable=False),
    Column("first_time_micros", BigInteger, nullable=False),  # of that entry
    PrimaryKeyConstraint("factory_id"),
    comment="Where charts begin whose older entries have expired; others begin at 1. Written by expire_chart.",
)

chart_retention = Table(
    "chart_retention",
    metadata,
    Column("days", Integer, CheckConstraint("days > 0", name="days"), nullable=False, autoincrement=False),
    PrimaryKeyConstraint("days"),
    comment="The fewest days that the server keeps entries of charts; without a row, it keeps all of them.",
)

page_token_key = Table(
    "page_token_key",
    metadata,
    Column("id", Integer, Identity(always=True), nullable=False),
    Column("key", LargeBinary, CheckConstraint("octet_length(key) = 32", name="key"), nullable=False),
    PrimaryKeyConstraint("id"),
    comment="The key with the greatest id encrypts page tokens; the others only decrypt older ones.",
)

recorded_request = Table(
    "recorded_request",
    metadata,
    Column("id", Identifier, nullable=False),
    Column("create_time", Instant, nullable=False, server_default=func.now(), index=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id"),
    comment="What requests with a request_id were answered, so that a repeat is answered alike.",
)

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", Identifier, nullable=False),
    Column("create_time", Instant, nullable=False),
    Column("principal", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("resource_type", Text, nullable=False),
    Column("resource_id", Identifier, nullable=False),
    Column("before", JSONB, nullable=True),
    Column("after", JSONB, nullable=True),
    # The ids are in the order of the entries: they list them, and partition them by months.
    PrimaryKeyConstraint("id"),
    Index(None, "resource_id", "id"),
    comment="Every write of a resource or an API key. Written by triggers, and append-only.",
    postgresql_partition_by="RANGE (id)",
)
"""The triggers, those that keep it append-only, and the partitions are in its migrations alone."""

audit_retention = Table(
    "audit_retention",
    metadata,
    Column("days", Integer, CheckConstraint("days > 0", name="days"), nullable=False, autoincrement=False),
    PrimaryKeyConstraint("days"),
    comment="The fewest days that the server keeps entries of the audit log; without a row, it keeps all of them.",
)

_PERMISSION = "(read|write|admin|force|[a-z_]+[.](read|write))"  # for new services too, without a migration

api_key = Table(
    "api_key",
    metadata,
    Column("id", Identifier, nullable=False),
    Column("create_time", Instant, nullable=False, server_default=func.now()),
    *_text("name", 63),
    Column(
        "rights",
        ARRAY(Text),
        CheckConstraint(
            f"array_to_string(rights, ',') ~ '^{_PERMISSION}(,{_PERMISSION})*$'"
            " AND array_position(rights, NULL) IS NULL",
            name="rights",
        ),
        key="permissions",  # the column keeps its first name: servers of the previous version read it
        nullable=False,
    ),
    Column(
        "secret_hash",
        LargeBinary,
        CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        nullable=False,
    ),
    Column("expire_time", Instant),
    Column("revoke_time", Instant),
    Column("last_use_time", Instant),
    Column(
        "factory_ids",
        IDENTIFIERS,
        CheckConstraint(
            "cardinality(factory_ids) > 0 AND array_position(factory_ids, NULL) IS NULL", name="factory_ids"
        ),
    ),
    PrimaryKeyConstraint("id"),
    comment="Who may call with an API key. The keys themselves are not kept.",
)

RESOURCES = [name for name, table in metadata.tables.items() if "update_time" in table.c]
"""The names of the tables of resources."""
