"""The SQL that keeps the partitions of the audit log: functions of the owner, which its migration explains."""

from sqlalchemy import Boolean, Integer, Text, bindparam, func, select

from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.statements import Statement

_CREATE = Statement(select(func.create_audit_partitions(type_=Boolean)))
_DROP = Statement(select(func.drop_expired_audit_partition(bindparam("keep_days", type_=Integer), type_=Text)))


def create_partitions(connection: Connection) -> bool:
    """Create the partitions until three months ahead, and return whether there are entries without a partition."""
    return bool(connection.scalar(_CREATE))


def drop_expired(connection: Connection, keep_days: int) -> str | None:
    """Drop the oldest partition if all its entries are older than `keep_days`, and return its name; or None.

    Raises:
        psycopg.errors.InsufficientPrivilege: The owner keeps entries for longer, or for ever.
        psycopg.errors.LockNotAvailable: The log is being read or written; nothing has changed.
    """
    name: str | None = connection.scalar(_DROP, {"keep_days": keep_days})
    return name
