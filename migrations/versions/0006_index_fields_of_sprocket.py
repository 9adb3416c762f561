"""Index the fields that lists of sprockets are filtered and ordered by, each followed by the id.

The indexes are built concurrently, outside of the transaction of the other migrations, which is committed first. If
this migration is interrupted, run it again: it starts over.

ix_sprocket_sprocket_type_id stays for the servers of the previous version. A later release drops it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
required_by_server = True  # without these indexes, lists of sprockets read the whole table

_COLUMNS = {
    "ix_sprocket_sprocket_type_id_id": sa.column("sprocket_type_id"),
    "ix_sprocket_create_time_id": sa.column("create_time"),
    "ix_sprocket_update_time_id": sa.column("update_time"),
    "ix_sprocket_display_name_id": sa.column("display_name").collate("C"),  # the collation that lists use
}


def upgrade() -> None:
    """Apply the migration."""
    with op.get_context().autocommit_block():
        for name, column in _COLUMNS.items():
            # An interrupted build leaves an invalid index.
            op.drop_index(name, "sprocket", if_exists=True, postgresql_concurrently=True)
            op.create_index(name, "sprocket", [column, "id"], postgresql_concurrently=True)


def downgrade() -> None:
    """Revert the migration."""
    for name in _COLUMNS:
        op.drop_index(name, "sprocket")
