"""`sprocket-grpc serve --ephemeral`: a server for tests in any language, with a database that ends with it."""

import json
import os
import select
import signal
import stat
import sys
import time
from threading import Thread

import click

from sprocket_grpc.cli.setup import load_settings_and_log
from sprocket_grpc.config.production import check_database
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.run import Started, serve
from sprocket_grpc.server.worker_process import run_in_event_loop
from sprocket_grpc.storage.embedded import temporary_postgres

_POLL_SECONDS = 0.5

_OWN_SETTINGS = {
    "database_read_url": None,
    "database_url": None,
    "follow_tick_seconds": 0.02,  # because tests wait for entries of charts
    "health_listen": None,
    "listen": "127.0.0.1:0",
    "metrics_listen": None,
    "rate_limit_storage": None,
    "shutdown_grace_seconds": 0,  # the parent has ended, and waits for no call
    "web_listen": "127.0.0.1:0",
}


def serve_ephemeral() -> None:
    """Serve on free ports and an empty database, print the addresses as a line of JSON, and end with the parent.

    Raises:
        ExpectedError: The settings or PostgreSQL cannot be used.
    """
    _end_with_parent()
    settings = load_settings_and_log().model_copy(update=_OWN_SETTINGS)
    check_database(settings)  # in production, there must be one
    with temporary_postgres(settings.embedded_binaries) as url:
        _migrate(url)
        run_in_event_loop(serve(settings, url, lambda started: _print_addresses(settings, started)))


def _migrate(url: str) -> None:
    from sprocket_grpc.storage import migrate  # noqa: PLC0415  # Alembic is slow to import, and `serve` with a database of its own does not need it

    migrate.upgrade(url)


def _print_addresses(settings: Settings, started: Started) -> None:
    scheme = "https" if settings.tls_certificate else "http"
    addresses = {"grpc": f"127.0.0.1:{started.port}", "web": f"{scheme}://127.0.0.1:{started.web_port}"}
    click.echo(json.dumps(addresses))


def _end_with_parent() -> None:
    """Stop this process when its standard input, if that is a pipe or socket, or its parent process ends.

    The kernel could signal the end of the parent, but does so at the end of the thread that started this process.
    Before the server listens, SIGTERM ends this process at once; the guard of the database then stops that.
    """
    Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    has_pipe = _stdin_is_pipe()
    while os.getppid() == parent:
        if not has_pipe:
            time.sleep(_POLL_SECONDS)
        elif select.select([0], [], [], _POLL_SECONDS)[0] and not os.read(0, 1 << 16):
            break
    os.kill(os.getpid(), signal.SIGTERM)


def _stdin_is_pipe() -> bool:
    """Return whether the end of standard input tells that another process has ended: not for a terminal or file."""
    if sys.stdin is None:  # it is closed, and the descriptor may belong to another file by now
        return False
    mode = os.fstat(0).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
