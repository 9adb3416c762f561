"""Limit API keys to permissions of single services and to factories.

The table is small, so its constraints are checked at once. Servers of the previous version grant nothing for the new
permissions, but ignore factory_ids: create keys that are limited to factories when all servers have the new version.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
required_by_server = True

_NAME = "(read|write|admin|force|[a-z_]+[.](read|write))"
_PERMISSIONS = f"array_to_string(rights, ',') ~ '^{_NAME}(,{_NAME})*$' AND array_position(rights, NULL) IS NULL"
_BUNDLES = "rights <@ '{read,write,admin}'::text[] AND cardinality(rights) > 0"
_FACTORIES = "cardinality(factory_ids) > 0 AND array_position(factory_ids, NULL) IS NULL"


def upgrade() -> None:
    """Apply the migration."""
    op.add_column("api_key", sa.Column("factory_ids", ARRAY(sa.Uuid)))
    op.create_check_constraint(op.f("ck_api_key_factory_ids"), "api_key", _FACTORIES)
    op.drop_constraint(op.f("ck_api_key_rights"), "api_key")
    op.create_check_constraint(op.f("ck_api_key_rights"), "api_key", _PERMISSIONS)


def downgrade() -> None:
    """Revert the migration. This deletes all keys that are limited: the previous version would not limit them."""
    op.execute(f"DELETE FROM api_key WHERE factory_ids IS NOT NULL OR NOT ({_BUNDLES})")  # noqa: S608  # a constant
    op.drop_constraint(op.f("ck_api_key_rights"), "api_key")
    op.create_check_constraint(op.f("ck_api_key_rights"), "api_key", _BUNDLES)
    op.drop_column("api_key", "factory_ids")
