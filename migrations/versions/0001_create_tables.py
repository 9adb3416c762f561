"""Create the tables of the four resources, of the chart, and of the keys that encrypt page tokens."""

import secrets
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
required_by_server = True


def _resource_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    ]


def _required_text(name: str, maximum: int) -> list[sa.schema.SchemaItem]:
    bounds = sa.CheckConstraint(f"char_length({name}) <= {maximum} AND btrim({name}) <> ''", name=name)
    return [sa.Column(name, sa.Text, nullable=False), bounds]


def _optional_text(name: str, maximum: int) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column(name, sa.Text, nullable=False),
        sa.CheckConstraint(f"char_length({name}) <= {maximum}", name=name),
    ]


def _measure(name: str) -> list[sa.schema.SchemaItem]:
    bounds = sa.CheckConstraint(f"{name} > 0 AND {name} < 'Infinity'", name=name)
    return [sa.Column(name, sa.Double, nullable=False), bounds]


def _count(name: str) -> list[sa.schema.SchemaItem]:
    return [sa.Column(name, sa.BigInteger, nullable=False), sa.CheckConstraint(f"{name} >= 0", name=name)]


def _create_location() -> None:
    op.create_table(
        "location",
        *_resource_columns(),
        *_required_text("display_name", 63),
        *_required_text("address", 200),
        *_optional_text("address_2", 200),
        *_required_text("city", 100),
        *_optional_text("administrative_area", 100),
        *_required_text("postal_code", 20),
        sa.Column("country_code", sa.Text, nullable=False),
        sa.CheckConstraint("country_code ~ '^[A-Z]{2}$'", name="country_code"),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_sprocket_type() -> None:
    op.create_table(
        "sprocket_type",
        *_resource_columns(),
        *_required_text("display_name", 63),
        sa.Column("teeth", sa.Integer, nullable=False),
        sa.CheckConstraint("teeth BETWEEN 1 AND 10000", name="teeth"),
        *_measure("pitch_mm"),
        *_measure("pitch_diameter_mm"),
        *_measure("outside_diameter_mm"),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_factory() -> None:
    op.create_table(
        "factory",
        *_resource_columns(),
        *_required_text("display_name", 63),
        sa.Column("location_id", sa.Uuid, nullable=False),
        *_count("sprocket_production_goal"),
        *_count("sprocket_production_actual"),
        sa.Column("chart_sequence", sa.BigInteger, nullable=False),
        sa.Column("chart_time_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["location_id"], ["location.id"]),
    )
    op.create_index(None, "factory", ["location_id"])


def _create_sprocket() -> None:
    op.create_table(
        "sprocket",
        *_resource_columns(),
        *_optional_text("display_name", 63),
        sa.Column("sprocket_type_id", sa.Uuid, nullable=False),
        sa.Column("factory_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("factory_id", "id"),
        sa.ForeignKeyConstraint(["sprocket_type_id"], ["sprocket_type.id"]),
        sa.ForeignKeyConstraint(["factory_id"], ["factory.id"]),
    )
    op.create_index(None, "sprocket", ["id"])
    op.create_index(None, "sprocket", ["sprocket_type_id"])


def _create_chart_entry() -> None:
    op.create_table(
        "chart_entry",
        sa.Column("factory_id", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.CheckConstraint("sequence > 0", name="sequence"),
        sa.Column("time_micros", sa.BigInteger, nullable=False),
        *_count("sprocket_production_goal"),
        *_count("sprocket_production_actual"),
        sa.PrimaryKeyConstraint("factory_id", "sequence"),
        sa.ForeignKeyConstraint(["factory_id"], ["factory.id"], ondelete="CASCADE"),
    )


def _create_page_token_key() -> None:
    table = op.create_table(
        "page_token_key",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("octet_length(key) = 32", name="key"),
        sa.PrimaryKeyConstraint("id"),
        comment="The key with the greatest id seals page tokens; the others still open them.",
    )
    op.execute(table.insert().values(key=secrets.token_bytes(32)))


_CREATE: list[tuple[str, Callable[[], None]]] = [
    ("location", _create_location),
    ("sprocket_type", _create_sprocket_type),
    ("factory", _create_factory),
    ("sprocket", _create_sprocket),
    ("chart_entry", _create_chart_entry),
    ("page_token_key", _create_page_token_key),
]


def upgrade() -> None:
    """Apply the migration."""
    for _, create in _CREATE:
        create()


def downgrade() -> None:
    """Revert the migration. This deletes all data."""
    for table, _ in reversed(_CREATE):
        op.drop_table(table)
