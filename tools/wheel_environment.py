"""Creates the Python environment of a client of the service, without the network.

It equals the result of `pip install sprocket-grpc`, except that the packages that the wheel requires are symbolic links
to those of the current environment.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

_ROOT = Path(__file__).parent.parent


def build_wheel(directory: Path) -> Path:
    """Build the wheel of this checkout into a directory, and return its path."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(directory), str(_ROOT))
    [wheel] = directory.glob("sprocket_grpc-*.whl")
    return wheel


def make_environment(directory: Path, wheel: Path, others: Iterable[str] = ()) -> Path:
    """Create an environment with the wheel, its requirements and other packages, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)  # noqa: S603  # our own command
    python = directory / "bin" / "python"
    _pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    [packages] = directory.glob("lib/python*/site-packages")
    [installed] = Distribution.discover(name="sprocket-grpc", path=[str(packages)])
    for name in _closure([*(installed.requires or []), *others]):
        _link(distribution(name), packages)
    return python


def _closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of all required packages, direct and indirect, without extras."""
    found: set[str] = set()
    left = list(requirements)
    while left:
        requirement = Requirement(left.pop())
        if requirement.name not in found and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            found.add(requirement.name)
            left.extend(distribution(requirement.name).requires or [])
    return found


def _link(package: Distribution, packages: Path) -> None:
    for source, path in _files(package):
        target = packages / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)


def _files(package: Distribution) -> Iterator[tuple[Path, Path]]:
    for file in package.files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:  # no programs, no bytecode
            yield Path(str(file.locate())).resolve(), Path(file)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)  # noqa: S603  # our own command
