"""The compose file is a stack for development with the roles of production."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import make_url, text

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server import run
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.support.manifests import Manifest, port_of
from tests.support.roles import database_with_roles

pytestmark = pytest.mark.usefixtures("no_settings")

Load = Callable[[str], Settings]


def services(compose: Manifest) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


def role(settings: Settings) -> str | None:
    assert settings.database_url
    return make_url(settings.database_url.get_secret_value()).username


def test_the_settings_in_the_compose_file_are_valid(compose: Manifest, as_in_compose: Load) -> None:
    ours = [name for name, service in services(compose).items() if service["image"] == "sprocket-grpc"]
    assert ours == ["migrate", "server"]
    for name in ours:
        assert as_in_compose(name).database_url


def test_the_server_and_the_migration_of_compose_have_the_roles_of_production(
    compose: Manifest, as_in_compose: Load
) -> None:
    assert role(as_in_compose("migrate")) == "sprocket_owner"
    assert role(as_in_compose("server")) == "sprocket_server"
    assert services(compose)["migrate"]["command"] == ["migrate", "--grant", "sprocket_server"]
    [file, place, mode] = services(compose)["database"]["volumes"][1].split(":")
    assert (place, mode) == ("/docker-entrypoint-initdb.d/roles.sql", "ro")
    created = (ROOT / file).read_text()
    assert all(name in created for name in ("'sprocket_owner'", "'sprocket_server'"))


def test_the_owner_adds_the_sample_data_as_the_compose_file_says(postgres: str) -> None:
    assert "`docker compose run --rm migrate seed`" in (ROOT / "docker-compose.yml").read_text()
    with database_with_roles(postgres) as roles:
        engine = create_plain_engine(roles.owner)
        with engine.begin() as connection:
            seed(connection)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM factory")) == 3


def test_the_stop_grace_period_of_compose_covers_drain_calls_and_shutdown(
    compose: Manifest, as_in_compose: Load
) -> None:
    settings = as_in_compose("server")
    needed = settings.drains_seconds + settings.shutdown_grace_seconds + run._CANCEL_SECONDS
    assert needed <= int(services(compose)["server"]["stop_grace_period"].removesuffix("s"))


def test_the_ports_of_the_server_are_published(compose: Manifest, as_in_compose: Load) -> None:
    settings = as_in_compose("server")
    assert settings.web_listen
    listened = ["50051", str(port_of(settings.web_listen))]  # the image sets SPROCKET_LISTEN
    assert "SPROCKET_LISTEN=0.0.0.0:50051" in (ROOT / "Dockerfile").read_text()
    assert services(compose)["server"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in listened]


def test_ports_are_published_on_loopback_only(compose: Manifest) -> None:
    published = [port for each in services(compose).values() for port in each.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_all_services_but_the_database_for_tests_start_again_after_a_failure(compose: Manifest) -> None:
    policies = {name: each.get("restart") for name, each in services(compose).items()}
    assert policies.pop("test-database") is None  # its data is in memory
    assert policies.pop("migrate") == "on-failure:10"
    assert set(policies.values()) == {"unless-stopped"}
