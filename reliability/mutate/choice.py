"""Chooses the tests of a file: those that name its module, then those of its room, and the conformance suite."""

import re
import subprocess
from pathlib import Path

_CONFORMS = {"errors", "query", "services", "storage"}
"""The rooms whose promises the conformance suite checks through the service."""

_ELSEWHERE = {
    "sprocket_grpc/storage/postgres/lane.py": Path("tests/services/test_expensive_calls.py"),
    "sprocket_grpc/storage/api_key.py": Path("tests/auth/test_api_keys.py"),
    "sprocket_grpc/storage/audit.py": Path("tests/services/test_audit_log.py"),
    "sprocket_grpc/storage/chart_writes.py": Path("tests/services/test_counter.py"),
    "sprocket_grpc/storage/pool_metrics.py": Path("tests/telemetry/test_metrics.py"),
    "sprocket_grpc/storage/schema_version.py": Path("tests/server/test_health.py"),
    "sprocket_grpc/storage/statement_metrics.py": Path("tests/telemetry/test_metrics.py"),
    "sprocket_grpc/interceptors/metrics.py": Path("tests/telemetry/test_metrics.py"),
    "sprocket_grpc/interceptors/tracing.py": Path("tests/telemetry/test_traces.py"),
    "sprocket_grpc/server/instrumentation.py": Path("tests/telemetry/test_metrics.py"),
}
"""Tests in another room, of modules that they know by what the service does."""


def chosen_tests(root: Path, path: Path, kind: str = "") -> list[Path]:
    """Return the test files to run for a file of the core, those that are likely or quick to notice a change first.

    Args:
        root: The root of the project.
        path: The file, relative to the root.
        kind: What is broken in it. For SQL, the tests of locks come first.
    """
    locks = [Path("tests/storage/test_locks.py")] if kind == "SQL" else []
    elsewhere = [_ELSEWHERE[str(path)]] if str(path) in _ELSEWHERE else []
    room = near(root, path)
    alike = [each for each in room if path.stem in each.stem]
    named = [each for each in _all(root, Path("tests")) if _imports(root / each, path)]
    named.sort(key=lambda each: each not in room)
    conforms = path.parts[1] in _CONFORMS and "embedded" not in path.parts
    others = [*(_all(root, Path("tests/conformance")) if conforms else []), *room]
    others.sort(key=lambda each: _is_slow(root / each))
    return list(dict.fromkeys([*locks, *alike, *named, *elsewhere, *others]))


def near(root: Path, path: Path) -> list[Path]:
    """Return the test files that `make quick` runs for a file, relative to the root."""
    command = [root / ".ci/near", path]
    lines = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603  # a constant
    ignored = [Path(each.removeprefix("--ignore=")) for each in lines if each.startswith("--ignore=")]
    found = [file for each in lines if not each.startswith("--") for file in _all(root, Path(each))]
    return [each for each in found if not any(each.is_relative_to(folder) for folder in ignored)]


def _all(root: Path, path: Path) -> list[Path]:
    if (root / path).is_file():
        return [path]
    return sorted(each.relative_to(root) for each in (root / path).rglob("test_*.py"))


def _is_slow(test: Path) -> bool:
    return "pytest.mark.slow" in test.read_text()


def _imports(test: Path, path: Path) -> bool:
    """Return whether a test imports a module, or something of it."""
    package, module = ".".join(path.parent.parts), path.stem
    text = test.read_text()
    return f"from {package}.{module} import" in text or bool(
        re.search(rf"^from {re.escape(package)} import .*\b{module}\b", text, re.MULTILINE)
    )
