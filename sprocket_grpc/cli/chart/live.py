"""Shows a chart that is followed: redrawn in a terminal, line by line in a pipe."""

import time
from collections.abc import Iterator
from contextlib import suppress

from sprocket.v1.factory_pb2 import Factory, FactoryChart, GetFactoryChartRequest, GetFactoryChartResponse
from sprocket_grpc.cli.chart import screen
from sprocket_grpc.cli.chart.chart import Chart, Entry, drawing, expired_note
from sprocket_grpc.cli.chart.client import retained_from
from sprocket_grpc.cli.chart.following import UPDATE_SECONDS, follow
from sprocket_grpc.cli.chart.terminal import draw
from sprocket_grpc.cli.client.output import show, warn
from sprocket_grpc.cli.client.server import Server
from sprocket_grpc.cli.since import Since
from sprocket_grpc.cli.times import now_micros, rfc_3339

# A chart that is followed for days is downsampled here, as the server downsamples a history.
_MOST_ENTRIES = 24_000
_INTERVALS_KEPT = 1_000

# Without new entries, the drawing is still refreshed: time passes, and the window may be resized.
_IDLE_SECONDS = 1.0


class LiveDrawing:
    """A drawing that is updated with every chunk.

    Attributes:
        retained_from: The time of the first entry that is kept, in microseconds since 1970, if older ones have expired.
    """

    def __init__(self, title: str, since: Since | None) -> None:
        self._title = title
        self._since = since
        self._chart = Chart()
        self._drawn = 0.0
        self._stale = False
        self.retained_from: int | None = None

    def add(self, chunk: FactoryChart) -> None:
        """Append the entries of the next chunk."""
        self._chart.extend(chunk)
        if self._since and self._since.ago and len(self._chart):
            self._chart = self._chart.in_force_from(self._since.start(now_micros()))
        if len(self._chart) > _MOST_ENTRIES:
            self._chart = self._chart.downsampled(_INTERVALS_KEPT)
        self._stale = True

    def note(self, response: GetFactoryChartResponse) -> None:
        """Take the time before which entries have expired, if a response has it."""
        self.retained_from = self.retained_from or retained_from(response)

    def is_due(self) -> bool:
        """Whether it is time to redraw: every `UPDATE_SECONDS` while entries arrive, else every `_IDLE_SECONDS`."""
        passed = time.monotonic() - self._drawn
        return bool(len(self._chart)) and passed >= (UPDATE_SECONDS if self._stale else _IDLE_SECONDS)

    def lines(self) -> list[str]:
        """Return the lines of the drawing; an empty list before the first entry arrives."""
        if not len(self._chart):
            return []
        self._drawn, self._stale = time.monotonic(), False
        now = now_micros()
        start = self._since.start(now) if self._since else None
        return draw(drawing(self._title, self._chart, start, now), screen.canvas())


def follow_in_terminal(server: Server, factory: Factory, request: GetFactoryChartRequest, since: Since | None) -> None:
    """Redraw a chart until Ctrl-C, and leave the last drawing on the screen.

    Raises:
        ClientError: The call failed with an error that a new call does not solve.
    """
    live = LiveDrawing(factory.display_name, since)
    try:
        with suppress(KeyboardInterrupt), screen.alternate_screen():
            _redraw(live, server, request)
    finally:
        screen.show(live.lines())
        if live.retained_from is not None:
            warn(expired_note(live.retained_from))


def _redraw(live: LiveDrawing, server: Server, request: GetFactoryChartRequest) -> None:
    shown_problem = ""
    for update in follow(server, request):
        if update.response and update.response.chart.time_micros:
            live.note(update.response)
            live.add(update.response.chart)
        if live.is_due() or update.problem != shown_problem:
            shown_problem = update.problem
            screen.redraw([*live.lines(), shown_problem or "following; press Ctrl-C to stop"])


def follow_in_lines(server: Server, request: GetFactoryChartRequest, *, with_history: bool) -> None:
    """Print a line for each new entry until Ctrl-C.

    Args:
        server: Its server.
        request: Where to start.
        with_history: Whether to print the whole history first, or only the entry that is in force.

    Raises:
        ClientError: The call failed with an error that a new call does not solve.
    """
    with suppress(KeyboardInterrupt):
        _print(server, request, with_history=with_history)


def _print(server: Server, request: GetFactoryChartRequest, *, with_history: bool) -> None:
    shown_problem, is_history = "", not with_history
    unprinted: list[Entry] = []
    for update in follow(server, request):
        if update.problem and update.problem != shown_problem:
            warn(update.problem)
        shown_problem = update.problem
        if not update.response:
            continue
        if with_history and (expired := retained_from(update.response)) is not None:
            warn(expired_note(expired))
        unprinted.extend(_entries(update.response.chart))
        if is_history:
            unprinted = unprinted[-1:]
            is_history = not update.response.end_of_history
        if not is_history:
            show("".join(f"{rfc_3339(each.time_micros)}  {each.summary}\n" for each in unprinted))
            unprinted.clear()


def _entries(chunk: FactoryChart) -> Iterator[Entry]:
    columns = (chunk.time_micros, chunk.sprocket_production_goal, chunk.sprocket_production_actual)
    return map(Entry, *columns)
