"""The server changes to another role without a gap, as docs/operations.md says for the password of the database."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import execute
from tests import ROOT
from tests.support.resources import create_location
from tests.support.roles import Roles, database_with_roles
from tests.support.service import running_service

PASSWORD = "another"  # noqa: S105  # of a role in a temporary database  # pragma: allowlist secret


class TwoRoles(NamedTuple):
    """The roles of a database, and the URL of a second one for the server."""

    roles: Roles
    second: str


@pytest.fixture
def two_roles(postgres: str) -> Iterator[TwoRoles]:
    with database_with_roles(postgres) as roles:
        name = f"{roles.server_name}_2"
        execute(roles.superuser, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        try:
            url = make_url(roles.server).set(username=name, password=PASSWORD)
            yield TwoRoles(roles, url.render_as_string(hide_password=False))
        finally:
            execute(roles.superuser, f"DROP OWNED BY {name} CASCADE")
            execute(roles.superuser, f"DROP ROLE {name}")


async def test_a_second_role_serves_beside_the_first_one_and_after_it(two_roles: TwoRoles) -> None:
    roles, second = two_roles
    migrate.upgrade(roles.owner, role=make_url(second).username)
    async with running_service(roles.server) as before, running_service(second) as after:
        await create_location(before)
        await create_location(after)
    execute(roles.superuser, f"ALTER ROLE {roles.server_name} NOLOGIN")
    async with running_service(second) as service:
        await create_location(service)
    with pytest.raises(OperationalError, match="not permitted to log in"):
        create_plain_engine(roles.server).connect()


def test_the_guide_names_the_steps() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    for step in (
        "CREATE ROLE sprocket_server_2 LOGIN",
        "--grant sprocket_server_2",
        "ALTER ROLE sprocket_server NOLOGIN",
    ):
        assert step in guide
