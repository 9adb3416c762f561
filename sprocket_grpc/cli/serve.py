"""`sprocket-grpc serve`: runs one server process, or several on the same port."""

import asyncio
import logging
from contextlib import ExitStack
from functools import partial

import click

from sprocket_grpc.cli.banner import banner
from sprocket_grpc.cli.database import prepare
from sprocket_grpc.cli.ephemeral import serve_ephemeral
from sprocket_grpc.cli.ports import check_ports
from sprocket_grpc.cli.setup import load_settings_and_log, open_database
from sprocket_grpc.config.addresses import split
from sprocket_grpc.config.production import check_serving, find_unencrypted
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.config.web import web_addresses
from sprocket_grpc.server.preload import preload
from sprocket_grpc.server.run import serve
from sprocket_grpc.server.supervisor import first_shared_port, shared_port, supervise
from sprocket_grpc.server.worker_process import Announce, run_in_event_loop

# For what a worker does after draining and the grace period: cancel calls, and close the connection pool.
_LAST_SECONDS = 15

_log = logging.getLogger(__name__)


@click.command("serve")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, help="The number of processes that share the port. Default: 1."
)
@click.option(
    "--ephemeral",
    is_flag=True,
    help="For tests: serve an empty, throw-away database on free ports of 127.0.0.1, print the addresses as a line of "
    "JSON, and stop when standard input (if it is a pipe) or the parent process ends.",
)
def serve_command(workers: int, *, ephemeral: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; a second signal stops the server immediately.

    An embedded PostgreSQL is migrated first, and gets the sample data when it is new.
    """
    if ephemeral:
        if workers > 1:
            raise click.UsageError("--ephemeral serves in one process: leave --workers out")
        serve_ephemeral()
        return
    settings = load_settings_and_log()
    check_serving(settings)
    for problem in find_unencrypted(settings):
        _log.warning(problem)
    if settings.database_url is None:
        check_ports(settings)  # before an embedded PostgreSQL is created for a server that cannot listen
    with open_database(settings) as url:
        if settings.database_url is None:
            prepare(url, settings.audit_retention_days, settings.chart_retention_days)
        print_banner = banner(settings, url, workers)
        if workers == 1:
            run_in_event_loop(serve(settings, url, print_banner))
        else:
            _run_workers(settings, url, print_banner, workers)
    logging.shutdown()  # writes the last lines of the log, so that they are not after this one
    click.echo("stopped")


def _run_workers(settings: Settings, url: str, print_banner: Announce, count: int) -> None:
    longest_stop_seconds = settings.drains_seconds + settings.shutdown_grace_seconds + _LAST_SECONDS
    with ExitStack() as until_the_end:
        shared = {
            name: until_the_end.enter_context(shared_port(address))
            for name in ("listen", "health_listen")
            if (address := getattr(settings, name))
        }
        if addresses := web_addresses(settings):
            shared["web_listen"] = until_the_end.enter_context(first_shared_port(addresses))
        preload(settings.model_copy(update=shared))
        each = [settings.model_copy(update=shared | _metrics_address(settings, number)) for number in range(count)]
        works = [partial(serve, of_worker, url, shares_port=True) for of_worker in each]
        asyncio.run(supervise(works, longest_stop_seconds, print_banner))


def _metrics_address(settings: Settings, number: int) -> dict[str, str]:
    """Return the metrics port of a worker. Prometheus has to scrape every worker, so the ports are consecutive."""
    if settings.metrics_listen is None:
        return {}
    host, port = split(settings.metrics_listen)
    return {"metrics_listen": f"{host}:{port and port + number}"}
