-- As a superuser or as sprocket_owner, after the first migration: what the server may add to and read, and nothing else.

REVOKE UPDATE, DELETE ON audit_entry FROM sprocket_server;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM sprocket_server;
