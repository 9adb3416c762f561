"""Index the fields that lists of sprockets are filtered and ordered by, each with the id behind it.

The indexes are built while the service goes on writing, so they are no part of the transaction of the other migrations:
what comes before is committed first. If this is interrupted, run it again: it begins anew.

ix_sprocket_sprocket_type_id is left to the servers that run now. It goes in a later release.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = {
    "ix_sprocket_sprocket_type_id_id": sa.column("sprocket_type_id"),
    "ix_sprocket_create_time_id": sa.column("create_time"),
    "ix_sprocket_update_time_id": sa.column("update_time"),
    "ix_sprocket_display_name_id": sa.column("display_name").collate("C"),  # as lists compare text
}


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for name, column in _COLUMNS.items():
            # One whose building was interrupted is there, and invalid.
            op.drop_index(name, "sprocket", if_exists=True, postgresql_concurrently=True)
            op.create_index(name, "sprocket", [column, "id"], postgresql_concurrently=True)


def downgrade() -> None:
    """Undo."""
    for name in _COLUMNS:
        op.drop_index(name, "sprocket")
