"""The SQL of the keys that seal page tokens: they live in the database, so that all replicas agree on them."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from sprocket_grpc.storage.tables import page_token_key


def read(connection: Connection) -> Sequence[bytes]:
    """Return the keys of 32 bytes each, the one that seals first. There is at least one."""
    return connection.scalars(select(page_token_key.c.key).order_by(page_token_key.c.id.desc())).all()
