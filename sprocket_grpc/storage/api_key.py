"""The SQL of API keys. PostgreSQL's clock decides whether a key has expired, so that all replicas agree."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import ARRAY, Text, bindparam, cast, func, insert, null, or_, select, update
from sqlalchemy.exc import ProgrammingError

from sprocket_grpc.errors import ExpectedError
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS
from sprocket_grpc.storage.tables import api_key


class ValidKey(NamedTuple):
    """A valid key.

    Attributes:
        name: Whose it is.
        permissions: Its permissions without the prefix `sprocket.`, such as `read` or `locations.write`.
        secret_hash: The SHA-256 of its secret.
        factory_ids: The factories that it is limited to, or None if it is not limited.
    """

    name: str
    permissions: Sequence[str]
    secret_hash: bytes
    factory_ids: Sequence[str] | None = None


_FACTORY_IDS = cast(api_key.c.factory_ids, ARRAY(Text)).label("factory_ids")
_HOLDS = api_key.c.revoke_time.is_(None) & or_(api_key.c.expire_time.is_(None), api_key.c.expire_time > func.now())
_READ = Statement(
    select(api_key.c.name, api_key.c.permissions, api_key.c.secret_hash, _FACTORY_IDS).where(
        api_key.c.id == bindparam("key_id"), _HOLDS
    )
)


def read(identifier: str) -> Read[ValidKey | None]:
    """Read a key: None if no key of this id is valid."""
    return Read(_READ, {"key_id": identifier}, lambda rows: ValidKey(*rows[0]) if rows else None)


@contextmanager
def _managing() -> Iterator[None]:
    """Tell a role that may not manage keys which one may."""
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise ExpectedError(
            "only the owner of the tables manages API keys: set SPROCKET_DATABASE_URL to the URL for that role, "
            "with which migrations are applied"
        ) from error


def create(connection: sqlalchemy.Connection, identifier: str, key: ValidKey, hours: int | None) -> None:
    """Add a key that expires after `hours`, or never.

    Raises:
        ExpectedError: The role of the connection is not the owner of the tables.
    """
    expire_time = null() if hours is None else func.now() + func.make_interval(0, 0, 0, 0, hours)
    values = key._asdict() | ({} if key.factory_ids else {"factory_ids": null()})
    with _managing():
        connection.execute(insert(api_key).values(id=identifier, expire_time=expire_time, **values))


def list_all(connection: sqlalchemy.Connection) -> Sequence[Any]:
    """Return all keys without their hashes, the newest last; `holds` says whether a key is valid."""
    columns = [column for column in api_key.c if column.name not in {"secret_hash", "factory_ids"}]
    return connection.execute(select(*columns, _FACTORY_IDS, _HOLDS.label("holds")).order_by(api_key.c.id)).all()


def revoke(connection: sqlalchemy.Connection, identifier: str) -> bool:
    """Revoke a key, and return whether a key has this id.

    Raises:
        ExpectedError: As for `create`.
    """
    statement = (
        update(api_key)
        .where(api_key.c.id == identifier)
        .values(revoke_time=func.coalesce(api_key.c.revoke_time, func.now()))
    )
    with _managing():
        return connection.execute(statement).rowcount == 1


def record_use(connection: Connection, identifiers: Collection[str]) -> None:
    """Record that keys were used, unless another replica has done so just now."""
    long_ago = or_(
        api_key.c.last_use_time.is_(None),
        api_key.c.last_use_time < func.now() - func.make_interval(0, 0, 0, 0, 0, 1),
    )
    # Locked in the order of their ids, so that two replicas do not deadlock.
    among = api_key.c.id == func.any(bindparam("ids", type_=IDENTIFIERS))
    mine = select(api_key.c.id).where(among, long_ago).order_by(api_key.c.id).with_for_update()
    used = update(api_key).where(api_key.c.id.in_(mine)).values(last_use_time=func.now())
    connection.execute(used, {"ids": [*identifiers]})
