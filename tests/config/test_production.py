"""What production cannot refuse, because the network may encrypt it, it says."""

import pytest

from sprocket_grpc.config.production import find_unencrypted
from sprocket_grpc.config.settings import Settings
from tests.support.command_line import run

pytestmark = pytest.mark.usefixtures("no_settings")

UNENCRYPTED = {
    "database_url": [
        "postgresql://u@db.example/d",
        "postgresql://u@db.example/d?sslmode=prefer",
        "postgresql://u@db.example/d?sslmode=require",  # to whichever server
        "postgresql://u@127.0.0.1,db.example/d",
        "postgresql://u@/d?host=/run/postgresql,db.example",
    ],
    "database_read_url": ["postgresql://u@standby.example/d"],
    "rate_limit_storage": ["redis://:secret@cache.example:6379"],
    "otlp_endpoint": ["http://collector.example:4317"],
}
ENCRYPTED_OR_LOCAL = {
    "database_url": [
        "postgresql://u@db.example/d?sslmode=verify-full&sslrootcert=system",
        "postgresql://u@a.example,b.example/d?sslmode=verify-ca",
        "postgresql://u@127.0.0.1/d",
        "postgresql://u@[::1]:5432/d",
        "postgresql://u@localhost/d",
        "postgresql://u@/d?host=/run/postgresql",
        "postgresql://u@/d",
    ],
    "rate_limit_storage": ["rediss://cache.example:6379", "redis://localhost:6379", "redis://[::1]:6379"],
    "otlp_endpoint": ["https://collector.example:4317", "http://127.0.0.1:4317"],
}


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, values in table.items() for value in values]


def found(environment: str, name: str, value: str) -> list[str]:
    beside = {"database_read_url": {"database_url": "postgresql://u@/d"}}.get(name, {})
    return find_unencrypted(Settings.model_validate({"environment": environment, name: value, **beside}))


@pytest.mark.parametrize(("name", "value"), pairs(UNENCRYPTED))
def test_production_names_each_connection_that_others_can_read(name: str, value: str) -> None:
    [line] = found("production", name, value)
    assert line.startswith(f"SPROCKET_{name.upper()}: expected ")
    assert "secret" not in line
    assert found("development", name, value) == []


@pytest.mark.parametrize(("name", "value"), pairs(ENCRYPTED_OR_LOCAL))
def test_production_is_silent_about_encrypted_and_local_connections(name: str, value: str) -> None:
    assert found("production", name, value) == []


def test_the_default_of_libpq_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert found("production", "database_url", "postgresql://u@db.example/d") == []
    assert found("production", "database_url", "postgresql://u@db.example/d?sslmode=disable")


def test_a_server_says_so_when_it_starts() -> None:
    finished = run(
        "serve",
        environment="production",
        database_url="postgresql://u@db.invalid/d",
        database_wait_seconds="0",
        api_keys="true",  # pragma: allowlist secret
    )
    assert finished.errors.count("SPROCKET_DATABASE_URL: expected sslmode=verify-full") == 1
