"""The SQL that compares a standby with its primary, by positions in the write-ahead log.

Every role may read them.
"""

from sqlalchemy import text

from sprocket_grpc.storage.postgres.reads import Read

READ_WRITTEN: Read[int] = Read(
    text("SELECT CAST(pg_current_wal_lsn() - '0/0' AS bigint)"), {}, lambda rows: int(rows[0][0])
)
"""Up to where a primary has written its log."""

READ_REPLAYED: Read[int | None] = Read(
    text("SELECT CAST(pg_last_wal_replay_lsn() - '0/0' AS bigint) WHERE pg_is_in_recovery()"),
    {},
    lambda rows: rows[0][0] if rows else None,
)
"""Up to where a standby has replayed the log; None if the server is not a standby."""
