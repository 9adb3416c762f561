"""Create the table of API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
required_by_server = True


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rights", ARRAY(sa.Text), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True)),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.Column("last_use_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint("char_length(name) <= 63 AND btrim(name) <> ''", name="name"),
        sa.CheckConstraint("rights <@ '{read,write,admin}'::text[] AND cardinality(rights) > 0", name="rights"),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        sa.PrimaryKeyConstraint("id"),
        comment="Who may call with an API key. The keys themselves are not kept.",
    )


def downgrade() -> None:
    """Revert the migration. This deletes all API keys; clients need new ones."""
    op.drop_table("api_key")
