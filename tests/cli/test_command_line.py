"""The commands of the server: what they do, what they print, and how they exit."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy import make_url, text

from sprocket.v1.factory_pb2 import ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc import __version__
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.testing.postgres import new_database
from tests.support.command_line import Finished, ServeProcess, run, run_program, serving
from tests.support.migrations import NEWEST_REVISION

pytestmark = pytest.mark.slow

SECRET = "correct-horse"  # noqa: S105  # invented, to search the output for it  # pragma: allowlist secret
SCRIPT = str(Path(sys.executable).with_name("sprocket-grpc"))
UNAVAILABLE = "127.0.0.1:1 does not answer; is it running? `--server` names another address"
NOWHERE = f"postgresql://someone:{SECRET}@127.0.0.1:1/sprockets"


def count(url: str, table: str) -> int:
    with create_plain_engine(url).connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")))  # noqa: S608  # a constant name


def with_password(url: str) -> str:
    """Add a password, which PostgreSQL ignores here."""
    return make_url(url).set(password=SECRET).render_as_string(hide_password=False)


def health(*arguments: str, **settings: str) -> tuple[int, str]:
    """Return the exit status and the output of a health check."""
    finished = run("health", *arguments, **settings)
    return finished.status, (finished.output + finished.errors).strip()


# In general.


def test_help_names_every_command() -> None:
    finished = run("--help")
    assert finished.status == 0
    for word in ("serve", "migrate", "seed", "health", "SPROCKET_DATABASE_URL"):
        assert word in finished.output


def test_the_version_is_that_of_the_package() -> None:
    assert run_program(SCRIPT, "--version") == (0, f"sprocket-grpc, version {__version__}\n", "")


def test_invalid_and_unknown_settings_are_named_and_nothing_is_started() -> None:
    finished = run("serve", pool_size=SECRET, pool_sise=SECRET, database_url=NOWHERE)
    assert (finished.status, finished.output) == (1, "")
    assert finished.errors.splitlines() == [
        "Error: SPROCKET_POOL_SISE: there is no such setting; did you mean SPROCKET_POOL_SIZE?",
        "SPROCKET_POOL_SIZE: expected a valid integer, unable to parse string as an integer",
    ]


@pytest.mark.parametrize(
    ("url", "reason"),
    [(NOWHERE, "did not answer within 1 s: "), (f"{NOWHERE}?nonsense=1", 'option "nonsense"')],
    ids=["no server", "an unknown option"],
)
def test_an_unreachable_database_is_reported_in_one_line(url: str, reason: str) -> None:
    finished = run("serve", database_url=url, database_wait_seconds="1", listen="127.0.0.1:0")
    finished.assert_refused()
    assert len(finished.errors.splitlines()) == 1
    assert "sprockets on 127.0.0.1:1" in finished.errors
    assert reason in finished.errors
    assert SECRET not in finished.output + finished.errors


# migrate and seed.


def test_migrate_goes_up_and_down_and_checks(empty_database_url: str) -> None:
    def migrated(*arguments: str) -> Finished:
        return run("migrate", *arguments, database_url=with_password(empty_database_url))

    migrated("--check").assert_refused()
    steps = [([NEWEST_REVISION], NEWEST_REVISION), (["--check"], NEWEST_REVISION), (["--down", "base"], "base")]
    for arguments, revision in steps:
        finished = migrated(*arguments)
        assert finished.status == 0
        assert finished.output.endswith(f" is at revision {revision}\n")
        assert SECRET not in finished.output + finished.errors
    unknown = migrated("0099")
    unknown.assert_refused()
    assert "'0099'" in unknown.errors


def test_the_check_of_the_schema_logs_nothing_if_it_is_right(database_url: str) -> None:
    finished = run("migrate", "--check", database_url=database_url)
    assert (finished.status, finished.errors) == (0, "")
    assert len(finished.output.splitlines()) == 2


def test_migrate_down_requires_a_revision(database_url: str) -> None:
    finished = run("migrate", "--down", database_url=database_url)
    assert finished.status == 2
    assert "--down requires the REVISION" in finished.errors
    migrate.check(database_url)


def test_seed_can_be_repeated(database_url: str) -> None:
    for _ in range(2):
        finished = run("seed", database_url=with_password(database_url))
        assert finished.status == 0
        assert SECRET not in finished.output + finished.errors
        assert [count(database_url, table) for table in ("factory", "sprocket", "chart_entry")] == [3, 93, 60]


def test_seed_before_migrate_says_what_to_do(empty_database_url: str) -> None:
    finished = run("seed", database_url=empty_database_url)
    finished.assert_refused()
    assert "sprocket-grpc migrate" in finished.errors


# serve and health.


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server whose data no test changes."""
    with new_database(postgres, template) as url, serving(database_url=with_password(url)) as served:
        yield served


def test_serve_prints_where_it_listens_and_what_to_type_next(served: ServeProcess) -> None:
    assert served.address.startswith("127.0.0.1:")
    assert not served.address.endswith(":0")
    assert any(line.split()[:3] == ["grpcurl", "-plaintext", served.address] for line in served.lines)
    words = [line.split() for line in served.lines if line.startswith("  sprocket-grpc ")]
    assert words == [
        ["sprocket-grpc", *each, "--server", served.address] for each in (["health"], ["list", "factories"])
    ]
    assert SECRET not in "".join(served.lines)


def test_health_succeeds_if_the_server_or_the_service_asked_for_is_serving(served: ServeProcess) -> None:
    assert health("--service", "sprocket.v1.FactoryService", "--server", served.address) == (0, "SERVING")
    everywhere = served.address.replace("127.0.0.1", "0.0.0.0")  # noqa: S104  # nothing is bound here
    assert health(listen=everywhere) == (0, "SERVING")


def test_health_fails_for_an_unknown_service_or_an_unavailable_server(served: ServeProcess) -> None:
    unknown = f"Error: {served.address} has no service 'sprocket.v1.NoService'"
    assert health("--service", "sprocket.v1.NoService", "--server", served.address) == (1, unknown)
    assert health("--server", "127.0.0.1:1") == (1, f"Error: {UNAVAILABLE}")


def test_an_address_in_use_is_reported_with_the_setting_to_change(served: ServeProcess, database_url: str) -> None:
    second = run("serve", database_url=database_url, listen=served.address)
    second.assert_refused()
    assert f"cannot listen on {served.address}" in second.errors
    assert "SPROCKET_LISTEN" in second.errors


def test_serve_on_an_outdated_schema_waits_for_migrate(empty_database_url: str) -> None:
    with serving(database_url=empty_database_url, health_interval_seconds="0.1") as served:
        [line] = [line for line in served.lines if "NOT_SERVING" in line]
        assert "`sprocket-grpc migrate`" in line
        assert health("--server", served.address) == (1, "NOT_SERVING")
        with grpc.insecure_channel(served.address) as channel:
            client: Any = HealthStub(channel)  # its types lack Watch
            statuses = (each.status for each in client.Watch(HealthCheckRequest()))
            assert next(statuses) == HealthCheckResponse.NOT_SERVING
            assert run("migrate", database_url=empty_database_url).status == 0
            assert next(statuses) == HealthCheckResponse.SERVING
            assert not FactoryServiceStub(channel).ListFactories(ListFactoriesRequest()).factories
