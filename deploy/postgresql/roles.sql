-- Two roles for one database: sprocket_owner owns the tables and applies migrations; the server connects as
-- sprocket_server, which can neither alter nor drop tables. Run this once as a superuser, in the new database, before
-- the first migration; then set a \password for both.

CREATE ROLE sprocket_owner LOGIN;
CREATE ROLE sprocket_server LOGIN;

GRANT USAGE, CREATE ON SCHEMA public TO sprocket_owner;
GRANT USAGE ON SCHEMA public TO sprocket_server;

-- For all tables that migrations will create.
ALTER DEFAULT PRIVILEGES FOR ROLE sprocket_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO sprocket_server;
