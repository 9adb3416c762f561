"""The SQL of the keys that encrypt page tokens: they live in the database, so that all replicas agree on them."""

from collections.abc import Sequence

from sqlalchemy import select

from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.tables import page_token_key


def read_keys() -> Read[Sequence[bytes]]:
    """Read the keys of 32 bytes each, the one that encrypts first. There is at least one."""
    statement = select(page_token_key.c.key).order_by(page_token_key.c.id.desc())
    return Read(statement, {}, lambda rows: [key for (key,) in rows])
