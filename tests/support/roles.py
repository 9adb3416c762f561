"""A database with the two roles of deploy/postgresql: one that owns the tables, and one for the server."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import make_url

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import execute, new_database
from tests import ROOT

_FILE = ROOT / "deploy" / "postgresql" / "roles.sql"
_NAMES = ("sprocket_owner", "sprocket_server")


class Roles(NamedTuple):
    """The URLs of one database for both roles and for a superuser, and the names of both."""

    owner: str
    server: str
    superuser: str
    owner_name: str
    server_name: str


@contextmanager
def database_with_roles(postgres: str) -> Iterator[Roles]:
    """Create a migrated database with both roles, under unique names: databases share their roles."""
    suffix = uuid.uuid4().hex
    owner, server = (f"{name}_{suffix}" for name in _NAMES)
    with new_database(postgres, "template1") as url:
        try:
            _create(url, owner, server)
            made = Roles(_as(url, owner, suffix), _as(url, server, suffix), url, owner, server)
            for name in (owner, server):
                execute(url, f"ALTER ROLE {name} PASSWORD '{suffix}'")
            migrate.upgrade(made.owner, role=server)
            yield made
        finally:
            for name in (owner, server):
                execute(url, f"DROP OWNED BY {name} CASCADE")
                execute(url, f"DROP ROLE {name}")


def _create(url: str, *names: str) -> None:
    statements = _FILE.read_text()
    for name, unique in zip(_NAMES, names, strict=True):
        statements = statements.replace(name, unique)
    with create_plain_engine(url).begin() as connection:
        connection.connection.cursor().execute(statements)  # without parameters: `%I` is no placeholder


def _as(url: str, role: str, password: str) -> str:
    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)
