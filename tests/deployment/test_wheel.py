"""The wheel in the environment of a client: with its requirements, and without the packages of the server."""

import asyncio
import os
import subprocess
import tomllib
from pathlib import Path
from shutil import which
from zipfile import ZipFile

import pytest

from tests import ROOT
from tests.support.command_line import environment
from tests.support.resources import MISSING_ID, create_location
from tests.support.service import Service
from tools.wheel_environment import build_wheel, make_environment

pytestmark = pytest.mark.slow

SERVER_PACKAGES = ("alembic", "click", "grpc_health", "grpc_status", "pydantic", "psycopg", "sqlalchemy", "google.rpc")

CLIENT = """
import importlib, pkgutil, sys
from importlib import resources
import grpc
import sprocket.v1
from sprocket.client import Client

modules = [importlib.import_module(f"sprocket.v1.{each.name}") for each in pkgutil.iter_modules(sprocket.v1.__path__)]
assert len(modules) == 12, modules
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub

config = (resources.files("sprocket.v1") / "service_config.json").read_text()
with grpc.insecure_channel(sys.argv[1], options=[("grpc.service_config", config)]) as channel:
    for location in LocationServiceStub(channel).ListLocations(ListLocationsRequest()).locations:
        print(location.display_name)
with Client(sys.argv[1]) as client:
    for page in client.pages(LocationServiceStub(client.channel).ListLocations, ListLocationsRequest()):
        for location in page.locations:
            print(location.display_name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The Python of an environment that has the wheel and what it requires."""
    return make_environment(wheel.parent / "environment", wheel)


@pytest.fixture(scope="module")
def client_python(wheel: Path) -> Path:
    """The Python of an environment that has the wheel with the extra `cli`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return make_environment(wheel.parent / "client", wheel, project["optional-dependencies"]["cli"])


def run(python: Path, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these settings, so that it sees nothing of this checkout."""
    command, variables = [python, "-I", *arguments], environment(settings)
    return subprocess.run(command, capture_output=True, check=False, env=variables, text=True, timeout=60)


def test_the_wheel_has_the_pages_for_browsers(wheel: Path) -> None:
    static = ROOT / "sprocket_grpc" / "web" / "static"
    with ZipFile(wheel) as packed:
        assert {f"sprocket_grpc/web/static/{each.name}" for each in static.iterdir()} <= {*packed.namelist()}


@pytest.mark.skipif(not which("mandb"), reason="man-db is not installed")
def test_the_manual_page_is_found_in_the_environment_of_a_client(python: Path) -> None:
    variables = environment({}) | {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    variables.pop("MANPATH", None)
    done = subprocess.run(["man", "-w", "sprocket-grpc"], capture_output=True, check=False, env=variables, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    installed = Path(done.stdout.strip())
    assert installed == python.parent.parent / "share/man/man1/sprocket-grpc.1"
    assert installed.read_bytes() == (ROOT / "share/man/man1/sprocket-grpc.1").read_bytes()


async def test_a_client_with_the_wheel_alone_can_call_a_server(python: Path, service: Service) -> None:
    await create_location(service, display_name="Shelbyville")
    done = await asyncio.to_thread(run, python, "-W", "error", "-c", CLIENT, service.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Shelbyville\n" * 2, "")


def test_the_wheel_alone_installs_no_packages_of_the_server(python: Path) -> None:
    for name in SERVER_PACKAGES:
        done = run(python, "-c", f"import {name}")
        assert f"No module named '{name}'" in done.stderr


def test_the_command_without_server_packages_says_what_to_install(python: Path) -> None:
    for command in ([python.with_name("sprocket-grpc")], ["-m", "sprocket_grpc"]):
        done = run(python, *command, "serve")
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert "pip install 'sprocket-grpc[server]', or 'sprocket-grpc[cli]' for client commands only" in line


# The extra `cli`.


async def test_a_client_reads_the_audit_log_through_the_service(client_python: Path, service: Service) -> None:
    made = await create_location(service)
    done = await asyncio.to_thread(
        run, client_python, "-m", "sprocket_grpc", "audit", "--server", service.address, client_timeout_seconds="30"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"anonymous created Location {made.id}\n" in done.stdout


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (
            ["api-key", "list"],
            ["works on the database", "pip install 'sprocket-grpc[server]'", "SPROCKET_DATABASE_URL"],
        ),
        (["api-key", "create", "dashboards", "--permission", "read"], ["run it where the server runs"]),
        (["api-key", "revoke", MISSING_ID], ["run it where the server runs"]),
        (["serve"], ["pip install 'sprocket-grpc[server]'"]),
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_a_client_is_told_in_a_line_what_a_command_needs(
    client_python: Path, command: list[str], needed: list[str]
) -> None:
    done = run(client_python, "-m", "sprocket_grpc", *command)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "is not installed" in line
    assert all(each in line for each in needed)


def test_a_client_with_a_database_is_told_what_audit_needs_to_read_it(client_python: Path) -> None:
    done = run(client_python, "-m", "sprocket_grpc", "audit", "--json", database_url="postgresql://127.0.0.1:1/none")
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert all(each in line for each in ("--server ADDRESS", "pip install 'sprocket-grpc[server]'", "is not installed"))


@pytest.mark.parametrize("command", ["audit", "api-key"])
def test_a_client_can_read_the_help_of_a_command_that_may_need_a_database(client_python: Path, command: str) -> None:
    done = run(client_python, "-m", "sprocket_grpc", command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SPROCKET_DATABASE_URL" in done.stdout
