-- Two users for one database: one owns the tables and migrates them, the other serves and can neither change nor drop them.
-- Once, as a superuser, in the new database, before the first migration; then give both a \password.

CREATE ROLE sprocket_owner LOGIN;
CREATE ROLE sprocket_server LOGIN;

GRANT USAGE, CREATE ON SCHEMA public TO sprocket_owner;
GRANT USAGE ON SCHEMA public TO sprocket_server;

-- Of all tables that migrations will make.
ALTER DEFAULT PRIVILEGES FOR ROLE sprocket_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sprocket_server;
