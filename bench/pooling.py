"""Measures calls through PgBouncer in transaction mode, and without prepared statements, against direct ones."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from bench.contenders import Contender, in_turns
from bench.database import Postgres
from bench.load import CannotBeMeasuredError
from bench.plan import Bench
from bench.processes import serving
from bench.reads import get_contender
from bench.report import Figure, Target
from bench.resources import create_resources
from bench.writes import create_contender
from sprocket.v1.sprocket_pb2 import Sprocket
from sprocket_grpc.storage.embedded.account import account_for
from tests.support.ports import free_port

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
_NO_PGBOUNCER = "pgbouncer is not installed (Debian package: pgbouncer)"
_PATIENCE_SECONDS = 10
_PAUSE_SECONDS = 0.02

_CONFIGURATION = """
[databases]
* = host={sockets} port={target} user={role}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
"""
_DIRECT, _UNPREPARED, _POOLED = "direct", "without prepared statements", "through PgBouncer"
_NO_STATEMENTS = {"SPROCKET_DATABASE_PREPARED_STATEMENTS": "false"}
_TARGETS = {_POOLED: (Target("<=", 1.3),), _UNPREPARED: ()}


def measure_pooler(bench: Bench) -> Iterator[Figure]:
    """Measure GetFactory and CreateSprocket, with the CPU of PostgreSQL, but not that of PgBouncer."""
    if _PROGRAM is None:
        raise CannotBeMeasuredError(_NO_PGBOUNCER)
    with ExitStack() as until_the_end:
        pooled = until_the_end.enter_context(_pooler(bench.postgres))
        ways = {
            _DIRECT: (bench.postgres.url, {}),
            _UNPREPARED: (bench.postgres.url, _NO_STATEMENTS),
            _POOLED: (pooled, _NO_STATEMENTS),
        }
        servers = {name: until_the_end.enter_context(serving(*way)) for name, way in ways.items()}
        resources = create_resources(servers[_DIRECT].address, 1)
        [factory_id] = resources.factory_ids
        sprocket = Sprocket(factory_id=factory_id, sprocket_type_id=resources.sprocket_type_id)
        reads = {name: get_contender(server, factory_id) for name, server in servers.items()}
        yield from _compare(bench, "GetFactory", reads)
        writes = {name: create_contender(server, sprocket) for name, server in servers.items()}
        yield from _compare(bench, "CreateSprocket", writes)


def _compare(bench: Bench, call: str, contenders: dict[str, Contender]) -> Iterator[Figure]:
    runs = in_turns(contenders, bench.postgres, bench.plan.few_rounds, bench.plan.seconds, bench.progress)
    for name, targets in _TARGETS.items():
        for unit, value in {"us CPU/call": "server_micros", "us CPU/call of PostgreSQL": "postgres_micros"}.items():
            ours, direct = ([getattr(run, value) for run in runs[each]] for each in (name, _DIRECT))
            yield Figure(f"{call} {name}", unit, ours, _DIRECT, direct, targets if value == "server_micros" else ())


@contextmanager
def _pooler(postgres: Postgres) -> Iterator[str]:
    """Run PgBouncer until the block ends, and yield the URL of the database through it."""
    url, port = make_url(postgres.url), free_port()
    sockets = Path(str(url.query["host"]))
    file = sockets / "pgbouncer.ini"
    file.write_text(_CONFIGURATION.format(sockets=sockets, target=url.query["port"], role=url.username, port=port))
    with account_for(sockets).start(
        Path(str(_PROGRAM)), file, stdin=subprocess.DEVNULL, output=subprocess.DEVNULL
    ) as process:
        try:
            through = f"host=127.0.0.1 port={port} user={url.username} dbname={url.database}"
            _wait_until_it_answers(through)
            yield f"postgresql+psycopg://{url.username}@127.0.0.1:{port}/{url.database}"
        finally:
            process.kill()
            file.unlink()


def _wait_until_it_answers(connection_string: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            psycopg.connect(connection_string).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return
