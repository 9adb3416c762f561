"""docs/architecture.md: the law of imports holds, nothing is outside it, and the house stays small."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import ROOT

PACKAGE = ROOT / "sprocket_grpc"
LAW = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ROOMS = {each.name for each in PACKAGE.iterdir() if (each / "__init__.py").exists()}
MODULES = {each.stem for each in PACKAGE.glob("*.py")}


def check_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    """Check the imports of a checkout as `make imports` does."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    variables = os.environ | {"PYTHONPATH": str(directory)}
    return subprocess.run(
        command, cwd=directory, env=variables, capture_output=True, check=False, text=True, timeout=60
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the check reads."""
    for name in ("sprocket_grpc", "sprocket"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("loose", ["loose.py", "room/__init__.py", "storage/loose.py"])
def test_a_module_outside_the_law_fails_the_check(copy: Path, loose: str) -> None:
    assert check_imports(copy).returncode == 0
    module = copy / "sprocket_grpc" / loose
    module.parent.mkdir(exist_ok=True)
    module.write_text('"""Outside."""\n')
    checked = check_imports(copy)
    assert checked.returncode == 1
    assert module.parent.name in checked.stdout or module.stem in checked.stdout


def test_an_import_upwards_fails_the_check(copy: Path) -> None:
    module = copy / "sprocket_grpc" / "telemetry" / "event_loop.py"
    module.write_text(module.read_text() + "\nfrom sprocket_grpc.server import health\n")
    checked = check_imports(copy)
    assert checked.returncode == 1
    assert "sprocket_grpc.telemetry.event_loop -> sprocket_grpc.server" in checked.stdout


def test_the_law_names_every_room_and_only_rooms_that_exist() -> None:
    [layers] = [each["layers"] for each in LAW if each.get("containers") == ["sprocket_grpc"]]
    named = {name.strip() for line in layers for name in line.split("|")}
    assert named == (ROOMS | MODULES) - {"__init__", "__main__"}
    assert len(layers) <= 10


def test_the_top_of_the_package_and_of_the_tests_stays_small() -> None:
    assert len(ROOMS) <= 12
    assert len(MODULES) <= 5
    assert len(list((ROOT / "tests").glob("*.py"))) <= 4


def test_the_folders_of_the_tests_are_the_rooms() -> None:
    folders = {each.parent.name for each in (ROOT / "tests").glob("*/__init__.py")}
    assert folders == ROOMS | {"browser", "conformance", "deployment", "documents", "reliability", "support"}


@pytest.mark.parametrize("folder", ["sprocket_grpc", "tests", "bench", "reliability", "tools", "migrations"])
def test_no_file_has_more_than_300_lines(folder: str) -> None:
    lengths = {each: len(each.read_text().splitlines()) for each in (ROOT / folder).rglob("*.py")}
    assert {each.name: length for each, length in lengths.items() if length > 300} == {}
