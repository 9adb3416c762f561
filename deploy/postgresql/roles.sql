-- Two roles for one database: sprocket_owner owns the tables, applies migrations and manages API keys; the server
-- connects as sprocket_server, which can neither alter tables nor touch the audit log and the API keys. Run this as a
-- superuser, in the new database, before the first migration; then, in psql, `\password sprocket_owner` and
-- `\password sprocket_server`. It can be run again, and in several databases of one server. The migrations grant
-- sprocket_server its privileges:
-- `sprocket-grpc migrate --grant sprocket_server`.

DO $$
DECLARE
  wanted name;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['sprocket_owner', 'sprocket_server'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I LOGIN', wanted);
    END IF;
  END LOOP;
END $$;

-- Until PostgreSQL 14, everybody may create objects in this schema; a database that was upgraded still says so.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO sprocket_owner;
GRANT USAGE ON SCHEMA public TO sprocket_server;

-- Nobody needs temporary tables here.
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
