"""`sprocket-grpc serve`: runs one server process, or several on the same port."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack

import click
import uvloop

from sprocket_grpc.cli.banner import banner
from sprocket_grpc.cli.database import prepare
from sprocket_grpc.cli.setup import load_settings_and_log, open_database
from sprocket_grpc.config.addresses import split
from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.config.production import check_serving
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.server.run import Started, serve
from sprocket_grpc.server.supervisor import shared_port, supervise

# For what a worker does after draining and the grace period: cancel calls, and close the connection pool.
_LAST_SECONDS = 15


@click.command("serve")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, help="The number of processes that share the port. Default: 1."
)
def serve_command(workers: int) -> None:
    """Serve until Ctrl-C or SIGTERM; a second signal stops the server immediately.

    An embedded PostgreSQL is migrated first, and gets the sample data when it is new.
    """
    settings = load_settings_and_log()
    check_serving(settings)
    with open_database(settings) as url:
        if settings.database_url is None:
            prepare(url)
        print_banner = banner(settings, url, workers)
        if workers == 1:
            _run(serve(settings, url, print_banner))
        else:
            _run_workers(settings, url, print_banner, workers)
    click.echo("stopped")


@click.command("worker", hidden=True)
def worker_command() -> None:
    """Serve as one of several processes, until standard input is closed. Only `serve` starts this command."""
    settings = load_settings_and_log()
    check_serving(settings)
    with open_database(settings) as url:
        _run(_work(settings, url))


async def _work(settings: Settings, url: str) -> None:
    loop, standard_input = asyncio.get_running_loop(), sys.stdin.fileno()

    def stop() -> None:
        loop.remove_reader(standard_input)  # else it stays readable, and this is called repeatedly
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(standard_input, stop)
    await serve(settings, url, lambda started: click.echo(json.dumps(started)), shares_port=True)


def _run_workers(settings: Settings, url: str, print_banner: Callable[[Started], None], count: int) -> None:
    longest_stop_seconds = settings.drains_seconds + settings.shutdown_grace_seconds + _LAST_SECONDS
    with ExitStack() as until_the_end:
        variables = dict(os.environ)
        if settings.database_url is None:
            variables[f"{PREFIX}DATABASE_URL"] = url
        for name in ("listen", "health_listen"):
            if address := getattr(settings, name):
                variables[PREFIX + name.upper()] = until_the_end.enter_context(shared_port(address))
        environments = [variables | _metrics_variable(settings, number) for number in range(count)]
        asyncio.run(supervise(environments, longest_stop_seconds, print_banner))


def _metrics_variable(settings: Settings, number: int) -> dict[str, str]:
    """Return the metrics port of a worker. Prometheus has to scrape every worker, so the ports are consecutive."""
    if settings.metrics_listen is None:
        return {}
    host, port = split(settings.metrics_listen)
    return {f"{PREFIX}METRICS_LISTEN": f"{host}:{port and port + number}"}


def _run(coroutine: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)
