"""The SQL that compares a standby with its primary, by positions in the log of all changes. Anyone may ask for them."""

from sqlalchemy import Connection, text

_WRITTEN = text("SELECT CAST(pg_current_wal_lsn() - '0/0' AS bigint)")
_REPLAYED = text("SELECT CAST(pg_last_wal_replay_lsn() - '0/0' AS bigint) WHERE pg_is_in_recovery()")


def read_written(connection: Connection) -> int:
    """Return up to where a primary has written its log."""
    position: int = connection.execute(_WRITTEN).scalar_one()
    return position


def read_replayed(connection: Connection) -> int | None:
    """Return up to where a standby shows what its log says, or None if it is none."""
    position: int | None = connection.scalar(_REPLAYED)
    return position
