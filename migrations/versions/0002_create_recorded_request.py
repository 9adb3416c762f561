"""Create the table of requests with a request_id, and of their responses."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
required_by_server = True


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "recorded_request",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="What requests with a request_id were answered, so that a repeat is answered alike.",
    )
    op.create_index(None, "recorded_request", ["create_time"])


def downgrade() -> None:
    """Revert the migration. Retries of recorded requests then take effect a second time."""
    op.drop_table("recorded_request")
