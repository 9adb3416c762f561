"""`sprocket-grpc chart`: draws a chart, follows it, or writes it to a file."""

from pathlib import Path

import click

from sprocket.v1.factory_pb2 import Factory, GetFactoryChartRequest
from sprocket_grpc.cli.chart import screen
from sprocket_grpc.cli.chart.chart import Chart, Drawing, drawing, expired_note
from sprocket_grpc.cli.chart.client import ChartClient, History
from sprocket_grpc.cli.chart.live import follow_in_lines, follow_in_terminal
from sprocket_grpc.cli.chart.picture import SUFFIXES, check_matplotlib, write_picture
from sprocket_grpc.cli.chart.table import WRITERS
from sprocket_grpc.cli.chart.terminal import draw, load_plotext
from sprocket_grpc.cli.client.connection import Connection, connection_options
from sprocket_grpc.cli.client.output import replacing, show, warn
from sprocket_grpc.cli.resources.calls import connected_caller, timeout_option
from sprocket_grpc.cli.since import Since, SinceType
from sprocket_grpc.cli.times import now_micros, to_datetime

TIMEOUT_SECONDS = 10

# More than a screen has columns or a picture has dots, so that downsampling is invisible.
DRAWN_POINTS = 2_000

# The smallest max_points that the server accepts, for when only the last entry is needed.
_LEAST_POINTS = 6


@click.command("chart")
@click.argument("factory_name", metavar="FACTORY")
@click.option("--since", type=SinceType(), help="Start this long ago (90s, 30m, 12h, 7d, 4w) or at a time (RFC 3339).")
@click.option("--follow", is_flag=True, help="Show new entries as they are added, until Ctrl-C.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture (.svg, .png) or all entries (.csv, .json) to this file instead.",
)
@timeout_option(TIMEOUT_SECONDS)
@connection_options
def chart_command(
    factory_name: str,
    *,
    since: Since | None,
    follow: bool,
    output: Path | None,
    timeout: float,
    connection: Connection,
) -> None:
    """Draw the production goal and the actual production of FACTORY over time.

    FACTORY is an id, or the display name of exactly one factory. In a pipe, --follow prints a line for every entry:
    first the entries since --since, or else the entry that is in force, then each new one.
    """
    suffix = _suffix(output, follow=follow)
    _check_libraries(suffix, follow=follow)
    with connected_caller(connection, timeout) as caller:
        client = ChartClient(caller)
        factory = client.find(factory_name)
        request = _request(factory, since, follow=follow)
        if follow:
            _follow(client, factory, request, since)
        elif output is None:
            screen.show(draw(_drawing(client, factory, request, since), screen.canvas()))
        else:
            _write(client, factory, request, since, output)
            show(f"wrote {output}\n")


def _suffix(output: Path | None, *, follow: bool) -> str | None:
    if output is None:
        return None
    if follow:
        raise click.UsageError("--follow cannot be combined with --output")
    suffix = output.suffix.lower()
    known = [*SUFFIXES, *WRITERS]
    if suffix not in known:
        raise click.UsageError(f"--output: expected a name that ends with one of {', '.join(known)}")
    return suffix


def _check_libraries(suffix: str | None, *, follow: bool) -> None:
    """Check that the libraries are installed, before the server is called."""
    if suffix in SUFFIXES:
        check_matplotlib()
    if suffix is None and (not follow or screen.is_terminal()):
        load_plotext()


def _request(factory: Factory, since: Since | None, *, follow: bool) -> GetFactoryChartRequest:
    request = GetFactoryChartRequest(factory_id=factory.id, follow=follow)
    if since:
        request.start_time.FromDatetime(to_datetime(since.start(now_micros())))
    return request


def _follow(client: ChartClient, factory: Factory, request: GetFactoryChartRequest, since: Since | None) -> None:
    if screen.is_terminal():
        request.max_points = DRAWN_POINTS
        follow_in_terminal(client.server, factory, request, since)
    else:
        request.max_points = 0 if since else _LEAST_POINTS
        follow_in_lines(client.server, request, with_history=since is not None)


def _drawing(client: ChartClient, factory: Factory, request: GetFactoryChartRequest, since: Since | None) -> Drawing:
    request.max_points = DRAWN_POINTS
    chart, history = Chart(), client.history(request)
    for chunk in history:
        chart.extend(chunk)
    _warn_of_expired(history)
    now = now_micros()
    drawn = drawing(factory.display_name, chart, since.start(now) if since else None, now)
    return drawn._replace(retained_from=history.retained_from)


def _write(
    client: ChartClient, factory: Factory, request: GetFactoryChartRequest, since: Since | None, output: Path
) -> None:
    with replacing(output) as path:
        if write := WRITERS.get(output.suffix.lower()):
            history = client.history(request)
            write(path, factory, history)
            _warn_of_expired(history)
        else:
            write_picture(path, _drawing(client, factory, request, since))


def _warn_of_expired(history: History) -> None:
    if history.retained_from is not None:
        warn(expired_note(history.retained_from))
