"""What a server imports and builds: what its settings need, and with workers all imports before they are forked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support.callers import certificate, server_certificate
from tests.support.command_line import PATIENCE_SECONDS, environment

_PROGRAM = """
import asyncio, json, sys
from sprocket_grpc.cli import serve
from sprocket_grpc.config.settings import load_settings
from sprocket_grpc.query import case_folding, filter
from sprocket_grpc.server.dependencies import open_dependencies
from sprocket_grpc.server.grpc_server import create_server

async def put_together(settings):
    async with open_dependencies(settings, "postgresql+psycopg://nobody@127.0.0.1:1/none") as dependencies:
        create_server(dependencies)

settings = load_settings()
if "preload" in sys.argv:
    serve.preload(settings)
before = {*sys.modules}
asyncio.run(put_together(settings))
tables = [each.cache_info().currsize for each in (filter._parser, case_folding._other_cases)]
print(json.dumps([sorted(before), sorted({*sys.modules} - before), sum(tables)]))
"""

_OPTIONAL = {"jwt", "limits", "opentelemetry", "prometheus_client", "redis"}
"""The libraries that only some settings need."""

_OPTIONAL_MODULES = {"cryptography.x509", "sprocket_grpc.auth.mtls", "sprocket_grpc.server.tls"}

_OURS = {*_OPTIONAL, "cryptography", "sprocket_grpc"}


class Loaded(NamedTuple):
    """What a process has loaded.

    Attributes:
        before: The modules that it had before it put a server together.
        then: The modules that it imported for that.
        tables: The number of tables that it has built, which only filters need.
    """

    before: set[str]
    then: set[str]
    tables: int


def loaded(*arguments: str, **settings: str) -> Loaded:
    """Put a server together in another process."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    variables = environment({"listen": "127.0.0.1:0", **settings})
    done = subprocess.run(command, capture_output=True, check=True, env=variables, text=True, timeout=PATIENCE_SECONDS)
    before, then, tables = json.loads(done.stdout.splitlines()[-1])
    return Loaded(set(before), set(then), tables)


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_a_server_loads_nothing_that_its_settings_or_only_later_calls_need() -> None:
    server = loaded("preload")
    everything = server.before | server.then
    assert "sprocket_grpc.server.grpc_server" in everything
    assert not packages(everything) & _OPTIONAL
    assert not everything & _OPTIONAL_MODULES
    assert server.tables == 0


def test_a_worker_imports_nothing_after_the_fork_whatever_its_settings(tmp_path: Path) -> None:
    root = certificate("root")
    (tmp_path / "ca.crt").write_bytes(root.pem)
    files = {name: str(path) for name, path in server_certificate(root).write(tmp_path).items()}
    worker = loaded(
        "preload",
        **files,
        tls_client_ca=str(tmp_path / "ca.crt"),
        api_keys="true",  # pragma: allowlist secret
        jwt_jwks=str(tmp_path / "keys.json"),
        jwt_issuer="issuer",
        jwt_audience="audience",
        metrics_listen="127.0.0.1:0",
        otlp_endpoint="http://127.0.0.1:1",
        rate_limit="100/second",
        rate_limit_storage="redis://127.0.0.1:1/0",
    )
    assert packages(worker.before) > _OPTIONAL
    assert worker.before > _OPTIONAL_MODULES
    assert not packages(worker.then) & _OURS
