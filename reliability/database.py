"""A PostgreSQL with crash-safe settings, and a database in it that belongs to an ordinary role."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import make_url

from sprocket_grpc.storage import migrate
from tests.support.postgresql import PostgresServer, new_postgres

if TYPE_CHECKING:
    import subprocess

ROLE = "sprocket"
"""The role of the service, and the name of its database. No superuser, so it cannot take the last connection slots."""


class Database(NamedTuple):
    """A running PostgreSQL with a migrated database.

    Attributes:
        postgres: The server, which can be killed and restarted.
        url: The URL of the database, for the service.
    """

    postgres: PostgresServer
    url: str

    @property
    def postmaster(self) -> "subprocess.Popen[bytes]":
        """The first process of PostgreSQL."""
        if self.postgres.process is None:
            raise RuntimeError("PostgreSQL was not started")
        return self.postgres.process

    def url_on(self, port: int) -> str:
        """Return the URL by which the service reaches the database through a proxy on `port`."""
        return make_url(self.url).set(port=port).render_as_string(hide_password=False)


@contextmanager
def new_database(max_connections: int = 100) -> Iterator[Database]:
    """Run a PostgreSQL with a migrated database until the block ends, and delete its files then."""
    with new_postgres() as postgres:
        postgres.query(f"ALTER SYSTEM SET max_connections = {max_connections}")
        postgres.stop()
        postgres.start()
        postgres.query(f"CREATE ROLE {ROLE} LOGIN")
        postgres.query(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        url = make_url(postgres.url).set(username=ROLE, database=ROLE).render_as_string(hide_password=False)
        migrate.upgrade(url)
        yield Database(postgres, url)
