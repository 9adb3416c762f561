"""The API keys in the database of this environment. Needs the server's libraries."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sprocket_grpc.auth.api_key import NewKey, make_key
from sprocket_grpc.auth.permissions import PERMISSIONS, PREFIX
from sprocket_grpc.cli.setup import open_connection
from sprocket_grpc.storage import api_key
from sprocket_grpc.storage.api_key import ValidKey
from sprocket_grpc.storage.postgres.engine import Connection

KNOWN_PERMISSIONS = [name.removeprefix(PREFIX) for name in PERMISSIONS]
"""The names of permissions, as keys have them."""


class Keys:
    """The API keys in one database, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, permissions: Sequence[str], factory_ids: Sequence[str], hours: int | None) -> NewKey:
        """Add a key that expires after `hours`, or never; without `factory_ids`, it is not limited to factories."""
        made = make_key()
        api_key.create(
            self._connection, made.id, ValidKey(name, permissions, made.secret_hash, factory_ids or None), hours
        )
        return made

    def list(self) -> Sequence[Any]:
        """Return the rows of all keys, the newest last."""
        return api_key.list_all(self._connection)

    def revoke(self, identifier: UUID) -> bool:
        """Revoke a key, and return whether there is one with this id."""
        return api_key.revoke(self._connection, str(identifier))


@contextmanager
def open_keys() -> Iterator[Keys]:
    """Open the database, and commit in the end.

    Raises:
        ExpectedError: The database cannot be used.
    """
    with open_connection() as connection:
        yield Keys(connection)
