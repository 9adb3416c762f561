"""Shows a chart as it goes on: redrawn in a terminal, line by line in a pipe."""

import time
from collections.abc import Iterator
from contextlib import suppress

import click

from sprocket.v1.factory_pb2 import Factory, FactoryChart, GetFactoryChartRequest
from sprocket_grpc.cli.chart import screen
from sprocket_grpc.cli.chart.chart import Chart, Entry, drawing
from sprocket_grpc.cli.chart.client import Client
from sprocket_grpc.cli.chart.following import TICK_SECONDS, follow
from sprocket_grpc.cli.chart.since import Since
from sprocket_grpc.cli.chart.terminal import draw
from sprocket_grpc.cli.chart.times import now_micros, rfc_3339

# What has been followed for days is thinned out here, as the server thins out a history.
_MOST_ENTRIES = 24_000
_PARTS_KEPT = 1_000

# The time axis moves on, and the window may be resized, also while there is nothing new.
_IDLE_SECONDS = 1.0


class LiveDrawing:
    """A drawing that is kept up to date."""

    def __init__(self, title: str, since: Since | None) -> None:
        self._title = title
        self._since = since
        self._chart = Chart()
        self._drawn = 0.0
        self._stale = False

    def add(self, stretch: FactoryChart) -> None:
        """Add the next entries."""
        self._chart.extend(stretch)
        if self._since and self._since.ago and len(self._chart):
            self._chart = self._chart.in_force_from(self._since.start(now_micros()))
        if len(self._chart) > _MOST_ENTRIES:
            self._chart = self._chart.thinned(_PARTS_KEPT)
        self._stale = True

    def is_due(self) -> bool:
        """Whether it is time to draw: with something new not more often than every tick."""
        passed = time.monotonic() - self._drawn
        return bool(len(self._chart)) and passed >= (TICK_SECONDS if self._stale else _IDLE_SECONDS)

    def lines(self) -> list[str]:
        """Draw it as it is now; nothing as long as nothing has arrived."""
        if not len(self._chart):
            return []
        self._drawn, self._stale = time.monotonic(), False
        now = now_micros()
        start = self._since.start(now) if self._since else None
        return draw(drawing(self._title, self._chart, start, now), screen.canvas())


def follow_in_terminal(client: Client, factory: Factory, request: GetFactoryChartRequest, since: Since | None) -> None:
    """Redraw a chart until Ctrl-C, and leave the last drawing on the screen.

    Raises:
        ClientError: It cannot be followed, or not any more.
    """
    live = LiveDrawing(factory.display_name, since)
    try:
        with suppress(KeyboardInterrupt), screen.drawn_over():
            _redraw(live, client, request)
    finally:
        screen.show(live.lines())


def _redraw(live: LiveDrawing, client: Client, request: GetFactoryChartRequest) -> None:
    shown_problem = ""
    for update in follow(client, request):
        if update.response and update.response.chart.time_micros:
            live.add(update.response.chart)
        if live.is_due() or update.problem != shown_problem:
            shown_problem = update.problem
            screen.redraw([*live.lines(), shown_problem or "following; Ctrl-C ends"])


def follow_in_lines(client: Client, request: GetFactoryChartRequest, *, with_history: bool) -> None:
    """Print a line for each new entry until Ctrl-C.

    Args:
        client: The client of its server.
        request: Where to begin.
        with_history: Whether to print all of the history before; else only the entry that is in force.

    Raises:
        ClientError: It cannot be followed, or not any more.
    """
    with suppress(KeyboardInterrupt):
        _print(client, request, with_history=with_history)


def _print(client: Client, request: GetFactoryChartRequest, *, with_history: bool) -> None:
    shown_problem, is_history = "", not with_history
    unprinted: list[Entry] = []
    for update in follow(client, request):
        if update.problem and update.problem != shown_problem:
            click.echo(update.problem, err=True)
        shown_problem = update.problem
        if not update.response:
            continue
        unprinted.extend(_entries(update.response.chart))
        if is_history:
            unprinted = unprinted[-1:]
            is_history = not update.response.end_of_history
            request.max_points = request.max_points if is_history else 0  # after a break, all that was missed
        if not is_history:
            click.echo("".join(f"{rfc_3339(each.time_micros)}  {each.summary}\n" for each in unprinted), nl=False)
            unprinted.clear()


def _entries(stretch: FactoryChart) -> Iterator[Entry]:
    columns = (stretch.time_micros, stretch.sprocket_production_goal, stretch.sprocket_production_actual)
    return map(Entry, *columns)
