"""Measures the cost of TLS and of credentials: a point read with them, against one without."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.contenders import Access, Contender, checked, in_turns
from bench.plan import Bench
from bench.processes import serving
from bench.reads import GET
from bench.report import Figure, Target
from bench.resources import create_resources
from sprocket.v1.factory_pb2 import GetFactoryRequest, GetFactoryResponse
from tests.support.callers import (
    AUDIENCE,
    ISSUER,
    bearer,
    certificate,
    create_key,
    key_set,
    server_certificate,
    signing_key,
)

_PLAIN = "no TLS, no credentials"
_TARGETS = {"over TLS": Target("<=", 1.2), "with an API key": Target("<=", 1.1), "with a JWT": Target("<=", 1.1)}


def measure_access(bench: Bench) -> Iterator[Figure]:
    """Measure GetFactory over TLS, with an API key and with a JWT."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as until_the_end:
        ways = _ways(bench.postgres.url, Path(directory))
        servers = {
            name: until_the_end.enter_context(serving(bench.postgres.url, settings))
            for name, (settings, _) in ways.items()
        }
        [factory_id] = create_resources(servers[_PLAIN].address, 1).factory_ids
        message = GetFactoryRequest(id=factory_id)
        requests = {
            name: checked(servers[name], GET, message, GetFactoryResponse(), access)[0]
            for name, (_, access) in ways.items()
        }
        contenders = {name: Contender([servers[name]], request) for name, request in requests.items()}
        runs = in_turns(contenders, bench.postgres, bench.plan.rounds, bench.plan.seconds / 2, bench.progress)
    micros = {name: [run.server_micros for run in each] for name, each in runs.items()}
    for name, target in _TARGETS.items():
        yield Figure(f"GetFactory {name}", "us CPU/call", micros[name], _PLAIN, micros[_PLAIN], (target,))


def _ways(url: str, directory: Path) -> dict[str, tuple[dict[str, str], Access]]:
    """Return the settings of the server and the credentials of the client for each way to call."""
    root, issuer = certificate("root"), signing_key("ES256")
    files = server_certificate(root).write(directory)
    keys = directory / "keys.json"
    keys.write_text(key_set(issuer))
    tokens = {"SPROCKET_JWT_JWKS": str(keys), "SPROCKET_JWT_ISSUER": ISSUER, "SPROCKET_JWT_AUDIENCE": AUDIENCE}
    key, keys_on = create_key(url, "read", name="bench"), {"SPROCKET_API_KEYS": "true"}  # pragma: allowlist secret
    return {
        _PLAIN: ({}, Access()),
        "over TLS": ({f"SPROCKET_{name.upper()}": str(path) for name, path in files.items()}, Access(root=root.pem)),
        "with an API key": (keys_on, Access(bearer(key.text))),
        "with a JWT": (tokens, Access(bearer(issuer.token(exp=int(time.time()) + 86_400)))),
    }
