"""The database: schema, statements, connections, and what happens when it is unavailable."""
