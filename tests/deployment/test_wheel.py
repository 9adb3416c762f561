"""The wheel, installed as a client installs it: with what it requires, and without what the server needs."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.support.resources import create_location
from tests.support.service import Service
from tools.wheel_environment import build_wheel, make_environment

SERVER_PACKAGES = ("alembic", "click", "grpc_health", "grpc_status", "pydantic", "psycopg", "sqlalchemy", "google.rpc")

CLIENT = """
import importlib, pkgutil, sys
from importlib import resources
import grpc
import sprocket.v1

modules = [importlib.import_module(f"sprocket.v1.{each.name}") for each in pkgutil.iter_modules(sprocket.v1.__path__)]
assert len(modules) == 12, modules
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub

config = (resources.files("sprocket.v1") / "service_config.json").read_text()
with grpc.insecure_channel(sys.argv[1], options=[("grpc.service_config", config)]) as channel:
    for location in LocationServiceStub(channel).ListLocations(ListLocationsRequest()).locations:
        print(location.display_name)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel and what it requires."""
    directory = tmp_path_factory.mktemp("wheel")
    return make_environment(directory / "environment", build_wheel(directory))


def run(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python so that it sees nothing of this checkout."""
    command = [python, "-I", *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)


async def test_the_wheel_alone_has_the_contract_and_calls_a_server(python: Path, service: Service) -> None:
    await create_location(service, display_name="Shelbyville")
    done = await asyncio.to_thread(run, python, "-W", "error", "-c", CLIENT, service.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Shelbyville\n", "")


def test_the_wheel_alone_brings_nothing_of_the_server(python: Path) -> None:
    for name in SERVER_PACKAGES:
        done = run(python, "-c", f"import {name}")
        assert f"No module named '{name}'" in done.stderr


def test_the_command_without_the_server_says_what_to_install(python: Path) -> None:
    for command in ([python.with_name("sprocket-grpc")], ["-m", "sprocket_grpc"]):
        done = run(python, *command, "serve")
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert "pip install 'sprocket-grpc[server]', or for clients alone 'sprocket-grpc[cli]'" in line
