"""Measures what the job that packs charts costs creates: `python -m bench.packing`.

Windows of creates with the job and without it take turns in one server, so that other load on the machine affects both
alike. Each pair of windows gives a ratio, and the intervals are those in which the median of the ratios is with a
probability of 95 %.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import NamedTuple

import click
from sqlalchemy import Connection, text

from bench.contenders import checked, cost
from bench.database import Postgres, fill_charts, fresh_postgres
from bench.load import Flight, Load, Request, drive, percentile
from bench.packing_server import SWITCH
from bench.processes import Server, running
from bench.report import Progress
from bench.resources import create_resources
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, CreateSprocketResponse, Sprocket
from sprocket_grpc.storage.chart_pages import KEPT_ENTRIES, PAGE_ENTRIES
from sprocket_grpc.storage.postgres.engine import create_plain_engine

_PATH = "/sprocket.v1.SprocketService/CreateSprocket"
_SETTLING_SECONDS = 0.1  # until the page that is being made is done
_MOST_PAGES_PER_SECOND = 6
_WARM_UP_CALLS = 200
_FEWEST_CALLS = 10
_RESAMPLED = 10_000
_COUNT_PAGES = text("SELECT count(*) FROM chart_page")


class Shape(NamedTuple):
    """The charts that are packed, and the creates beside it.

    Attributes:
        name: What is written.
        charts: The number of charts, whose rows lie between each other.
        written: The number of factories in which sprockets are created at the same time.
        flight: The concurrency of the creates in each of them.
    """

    name: str
    charts: int
    written: int
    flight: Flight


_SHAPES = (
    Shape("64 in flight, in the factory that is packed", 1, 1, Flight(connections=4, streams=16)),
    Shape("16 in flight, in 16 of 100 factories that are packed in turn", 100, 16, Flight(connections=1, streams=1)),
)


class Window(NamedTuple):
    """What was measured while creates ran for a short time.

    Attributes:
        per_second: The rate of creates.
        cpu_micros: The CPU time of the server and PostgreSQL for a create.
        milliseconds: The latency of each create, in ascending order.
        pages: The pages that were packed meanwhile.
    """

    per_second: float
    cpu_micros: float
    milliseconds: list[float]
    pages: int


@dataclass(frozen=True)
class Creates:
    """Creates sprockets in a server while its job works or rests."""

    switch: Path
    connection: Connection
    postgres: Postgres
    server: Server
    requests: Sequence[Request]
    flight: Flight

    def window(self, calls: int, *, is_packing: bool) -> Window:
        """Switch the job, repeat each request `calls` times, and return what that cost."""
        self.switch.touch() if is_packing else self.switch.unlink(missing_ok=True)
        time.sleep(_SETTLING_SECONDS)
        loads: list[Load] = []
        pages = self._pages()
        run = cost([self.server], self.postgres, calls * len(self.requests), lambda: self.rate(calls, loads))
        milliseconds = sorted(each for load in loads for each in load.milliseconds)
        return Window(
            run.calls_per_second, run.server_micros + run.postgres_micros, milliseconds, self._pages() - pages
        )

    def rate(self, calls: int, loads: list[Load]) -> float:
        """Repeat each request `calls` times, all at the same time, and return the rate of all."""
        with ThreadPoolExecutor(len(self.requests)) as pool:
            loads += pool.map(lambda each: drive(each, calls, self.flight), self.requests)
        return sum(each.calls_per_second for each in loads)

    def _pages(self) -> int:
        return int(self.connection.execute(_COUNT_PAGES).scalar_one())


@click.command()
@click.option("--pairs", type=click.IntRange(4), default=200, help="The pairs of windows, with the job and without it.")
@click.option("--seconds", type=float, default=0.5, help="The approximate duration of a window.")
def main(*, pairs: int, seconds: float) -> None:
    """Create sprockets while the job packs charts, and while it rests, in turns, and print what it costs them."""
    progress = Progress()
    for shape in _SHAPES:
        with fresh_postgres() as postgres:
            working, resting = _measured(shape, postgres, pairs, seconds, progress)
        _print(shape, working, resting)


def _measured(
    shape: Shape, postgres: Postgres, pairs: int, seconds: float, progress: Progress
) -> tuple[list[Window], list[Window]]:
    """Return the windows with the job and those without it, as pairs.

    Raises:
        ValueError: The job did not work.
    """
    windows: dict[bool, list[Window]] = {True: [], False: []}
    with _prepared(shape, postgres, round(pairs * (seconds + 1) * _MOST_PAGES_PER_SECOND), progress) as creates:
        with progress.step("warming up"):
            creates.rate(_WARM_UP_CALLS // shape.written, [])
            rate = creates.rate(_WARM_UP_CALLS // shape.written, [])
        for pair in range(pairs):
            calls = max(_FEWEST_CALLS, round(rate * seconds / shape.written))
            with progress.step(f"{shape.name}, pair {pair + 1} of {pairs}"):
                for is_packing in (pair % 2 == 0, pair % 2 == 1):  # on off, off on: a drift affects both alike
                    windows[is_packing].append(creates.window(calls, is_packing=is_packing))
            rate = fmean(each[-1].per_second for each in windows.values())
    if sum(each.pages for each in windows[True]) < pairs / 8:
        raise ValueError("the job hardly packed anything")
    return windows[True], windows[False]


@contextmanager
def _prepared(shape: Shape, postgres: Postgres, pages: int, progress: Progress) -> Iterator[Creates]:
    """Run a server whose charts have rows for a number of pages, until the block ends."""
    engine = create_plain_engine(postgres.url).execution_options(isolation_level="AUTOCOMMIT")
    with tempfile.TemporaryDirectory() as directory, engine.connect() as connection:
        switch = Path(directory) / "switch"
        settings = {"SPROCKET_DATABASE_URL": postgres.url, "SPROCKET_LISTEN": "127.0.0.1:0", SWITCH: str(switch)}
        with running("bench.packing_server", "serve", settings=settings) as server:
            resources = create_resources(server.address, shape.charts)
            entries = (pages // shape.charts + 1) * PAGE_ENTRIES + KEPT_ENTRIES
            fill_charts(postgres, resources.factory_ids, entries, progress)
            written = sorted(resources.factory_ids)[:: shape.charts // shape.written][: shape.written]
            requests = [_request(server, each, resources.sprocket_type_id) for each in written]
            yield Creates(switch, connection, postgres, server, requests, shape.flight)


def _request(server: Server, factory_id: str, sprocket_type_id: str) -> Request:
    sprocket = Sprocket(factory_id=factory_id, sprocket_type_id=sprocket_type_id)
    return checked(server, _PATH, CreateSprocketRequest(sprocket=sprocket), CreateSprocketResponse())[0]


def _print(shape: Shape, working: Sequence[Window], resting: Sequence[Window]) -> None:
    seconds = sum(len(each.milliseconds) / each.per_second for each in working)
    click.echo(f"\n{shape.name}; {len(working)} pairs; {sum(each.pages for each in working) / seconds:.2f} pages/s")
    pairs = [*zip(working, resting, strict=True)]
    rows = (
        ("creates per second", [on.per_second / off.per_second for on, off in pairs], "per_second"),
        ("CPU per create, us", [on.cpu_micros / off.cpu_micros for on, off in pairs], "cpu_micros"),
    )
    for what, ratios, name in rows:
        on, off = (median(getattr(each, name) for each in windows) for windows in (working, resting))
        low, high = _interval(ratios)
        click.echo(
            f"{what}: {on:,.0f} with the job, {off:,.0f} without: {median(ratios):.3f} ({low:.3f} to {high:.3f})"
        )
    for what, windows in (("with the job", working), ("without it", resting)):
        click.echo(f"latency {what}: {_latency(windows)}")


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of their median, by resampling."""
    draw = Random(0)  # noqa: S311  # the same interval for the same ratios
    medians = sorted(median(draw.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLED))
    return medians[_RESAMPLED * 25 // 1000], medians[_RESAMPLED * 975 // 1000]


def _latency(windows: Sequence[Window]) -> str:
    together = sorted(each for window in windows for each in window.milliseconds)
    worst = max(percentile(each.milliseconds, 99) for each in windows)
    half, most = percentile(together, 50), percentile(together, 99)
    return (
        f"p50 {half:.1f} ms, p99 {most:.1f} ms, p99 of the worst window {worst:.1f} ms, maximum {together[-1]:.1f} ms"
    )


if __name__ == "__main__":
    main()
