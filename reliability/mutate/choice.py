"""Chooses the tests of a file: those that name its module, then those of its room."""

import re
import subprocess
from pathlib import Path


def chosen_tests(root: Path, path: Path) -> list[Path]:
    """Return the test files to run for a file of the core, those that are likely to notice a change first."""
    named = [each for each in sorted((root / "tests").rglob("test_*.py")) if _imports(each, path)]
    room = near(root, path)
    alike = [each for each in room if path.stem in each.stem]
    return list(dict.fromkeys([*(each.relative_to(root) for each in named), *alike, *room]))


def near(root: Path, path: Path) -> list[Path]:
    """Return the test files that `make quick` runs for a file, relative to the root."""
    command = [root / ".ci/near", path]
    lines = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603  # a constant
    ignored = [Path(each.removeprefix("--ignore=")) for each in lines if each.startswith("--ignore=")]
    found = [file for each in lines if not each.startswith("--") for file in _files(root, Path(each))]
    return [each for each in found if not any(each.is_relative_to(folder) for folder in ignored)]


def _files(root: Path, path: Path) -> list[Path]:
    if (root / path).is_file():
        return [path]
    return sorted(each.relative_to(root) for each in (root / path).rglob("test_*.py"))


def _imports(test: Path, path: Path) -> bool:
    """Return whether a test imports a module, or something of it."""
    package, module = ".".join(path.parent.parts), path.stem
    text = test.read_text()
    return f"from {package}.{module} import" in text or bool(
        re.search(rf"^from {re.escape(package)} import .*\b{module}\b", text, re.MULTILINE)
    )
