-- Run this once after the first migration, as a superuser or as sprocket_owner. After it, the server can insert and
-- read audit entries but not change them, and can only read the schema revision.

REVOKE UPDATE, DELETE ON audit_entry FROM sprocket_server;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM sprocket_server;
