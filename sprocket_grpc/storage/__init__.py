"""SQL and nothing else: tables, reads, and functions over a connection, which never commit and know no message."""
