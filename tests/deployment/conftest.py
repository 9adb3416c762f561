"""The rendered manifests and the compose file, and the settings of what they run.

Tests that load settings use the fixture `no_settings` too.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sprocket_grpc.config.settings import Settings, load_settings
from tests import ROOT
from tests.support.manifests import Manifest, load_yaml, mounted_files, render, variables

# Example contents of the mounted files.
CONTENTS = {
    "database-url": "postgresql://sprocket_server@database.example/sprocket",
    "migration-database-url": "postgresql://sprocket_owner@database.example/sprocket",
    "page-token-keys": "0123456789abcdef" * 2,
}


@pytest.fixture(scope="module", params=["base", "production"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


@pytest.fixture(scope="module")
def in_production() -> list[Manifest]:
    return render("production")


@pytest.fixture(scope="module")
def compose() -> Manifest:
    [document] = load_yaml((ROOT / "docker-compose.yml").read_text())
    return document


@pytest.fixture
def as_in_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[Manifest], Manifest], Settings]:
    """A function that loads the settings of a workload, with temporary files instead of mounted Secrets."""

    def load(manifests: list[Manifest], workload: Manifest) -> Settings:
        keys = {str(path): key.partition("/")[2] for key, path in mounted_files(workload).items()}
        for name, value in variables(manifests, workload).items():
            if name.endswith("_FILE"):
                (tmp_path / keys[value]).write_text(CONTENTS[keys[value]] + "\n")
            monkeypatch.setenv(name, str(tmp_path / keys[value]) if name.endswith("_FILE") else value)
        return load_settings()

    return load


@pytest.fixture
def as_in_compose(compose: Manifest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """A function that loads the settings of a service in the compose file, with the defaults of its variables."""

    def load(name: str) -> Settings:
        for variable, value in compose["services"][name]["environment"].items():
            monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
        return load_settings()

    return load
