"""Measures whether the latency of calls depends on the size of the database: `python -m bench.scale`."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NamedTuple, TypeAlias

import click
import grpc
from sqlalchemy import make_url, text

from bench.database import fresh_postgres
from bench.processes import serving
from bench.report import Figure, Progress, Target, report
from bench.scale_data import FACTORIES, FIRST_SECOND, TYPES, Size, fill
from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryRequest, ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.sprocket_pb2 import (
    BatchGetSprocketsRequest,
    CreateSprocketRequest,
    GetSprocketRequest,
    ListSprocketsRequest,
    Sprocket,
)
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine

_SMALL = Size(sprockets=10_000, entries=50_000)
_PROMISED = Target("<=", 1.5)
_ENTRIES_READ = 400
_WARM_UP = 7  # statements are prepared at their sixth execution


def bench_id(kind: int, number: int) -> str:
    """Return the id of a resource, as the SQL function of the same name makes it."""
    digits = f"{1_700_000_000_000 + number * 1000:012x}7{kind:03x}8{number:015x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Stock(NamedTuple):
    """A service on a database of a given size, with random ids of existing resources."""

    size: Size
    sprockets: SprocketServiceStub
    factories: FactoryServiceStub

    @property
    def number(self) -> int:
        """The number of a random sprocket in the first half, so that a full page follows it."""
        return random.randrange(1, self.size.sprockets // 2)  # noqa: S311  # no secret

    @property
    def factory_id(self) -> str:
        """The id of a random factory."""
        return bench_id(3, random.randint(1, FACTORIES))  # noqa: S311  # no secret

    def get(self) -> None:
        """Get a sprocket."""
        self.sprockets.GetSprocket(GetSprocketRequest(id=bench_id(4, self.number)))

    def batch_get(self) -> None:
        """Get a hundred sprockets."""
        ids = [bench_id(4, self.number) for _ in range(100)]
        self.sprockets.BatchGetSprockets(BatchGetSprocketsRequest(ids=ids))

    def create(self) -> None:
        """Create a sprocket."""
        sprocket = Sprocket(factory_id=self.factory_id, sprocket_type_id=bench_id(2, 1), display_name="Cog")
        self.sprockets.CreateSprocket(CreateSprocketRequest(sprocket=sprocket))

    def list(self, condition: str = "", order: str = "", *, full: bool = True) -> None:
        """List a page of 50, and the next one."""
        request = ListSprocketsRequest(filter=self.filled(condition), order_by=order)
        for _ in range(2 if full else 1):
            response = self.sprockets.ListSprockets(request)
            if full and len(response.sprockets) != 50:
                raise ValueError(f"{request}: expected 50 sprockets, got {len(response.sprockets)}")
            request.page_token = response.next_page_token

    def filled(self, condition: str) -> str:
        """Replace the placeholders of a filter by values of existing resources."""
        number = self.number
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(FIRST_SECOND + number))
        return (
            condition.replace("$ID", bench_id(4, number))
            .replace("$FACTORY", self.factory_id)
            .replace("$TYPE", bench_id(2, 1 + number % TYPES))
            .replace("$TIME", f'"{when}"')
            .replace("$NAME", f'"Cog {number}"')
            .replace("$PREFIX", f'"Cog {random.randint(10, 99)}*"')  # noqa: S311  # no secret
        )

    def get_factory(self) -> None:
        """Get a factory."""
        self.factories.GetFactory(GetFactoryRequest(id=self.factory_id))

    def list_factories(self) -> None:
        """List a page of factories."""
        self.factories.ListFactories(ListFactoriesRequest())

    def chart(self) -> None:
        """Read a range of a chart."""
        begin = FIRST_SECOND + random.randint(1, self.size.entries // FACTORIES - _ENTRIES_READ)  # noqa: S311  # no secret
        request = GetFactoryChartRequest(factory_id=self.factory_id)
        request.start_time.seconds, request.end_time.seconds = begin, begin + _ENTRIES_READ
        for _ in self.factories.GetFactoryChart(request):
            pass

    def follow(self) -> None:
        """Follow a chart from near its end until the end of the history."""
        request = GetFactoryChartRequest(factory_id=self.factory_id, follow=True)
        request.start_time.seconds = FIRST_SECOND + self.size.entries // FACTORIES - 10
        stream = self.factories.GetFactoryChart(request)
        next(response for response in stream if response.end_of_history)
        stream.cancel()


Call: TypeAlias = Callable[[Stock], None]

_FIELDS = ("id", "create_time", "update_time", "display_name", "sprocket_type_id", "factory_id")
_ORDERS = (*_FIELDS, *(f"{field} desc" for field in _FIELDS))


def _listing(condition: str = "", order: str = "", *, full: bool = True) -> Call:
    return lambda stock: stock.list(condition, order, full=full)


CALLS: Mapping[str, Call] = {
    "GetSprocket": Stock.get,
    "BatchGetSprockets, 100": Stock.batch_get,
    "CreateSprocket": Stock.create,
    "GetFactory": Stock.get_factory,
    "ListFactories": Stock.list_factories,
    f"GetFactoryChart, {_ENTRIES_READ} entries by time": Stock.chart,
    "GetFactoryChart, to the end, and follow": Stock.follow,
    "list": _listing(),
    "list, id > $ID": _listing("id > $ID"),
    "list, factory_id = $FACTORY": _listing("factory_id = $FACTORY"),
    "list, sprocket_type_id = $TYPE": _listing("sprocket_type_id = $TYPE"),
    "list, display_name = $NAME": _listing("display_name = $NAME", full=False),
    "list, create_time = $TIME": _listing("create_time = $TIME", full=False),
    "list, display_name = $PREFIX by it": _listing("display_name = $PREFIX", "display_name"),
    "list, display_name = $PREFIX": _listing("display_name = $PREFIX"),
    "list, display_name:cog": _listing("display_name:cog"),
    "list, create_time > $TIME by it": _listing("create_time > $TIME", "create_time"),
    "list, update_time > $TIME by it": _listing("update_time > $TIME", "update_time"),
} | {f"list by {order}": _listing(order=order) for order in _ORDERS}
"""Calls that the contract documents as fast for any size."""

OTHER_CALLS: Mapping[str, Call] = {
    "list, display_name:nothing": _listing("display_name:nothing", full=False),
    "list, create_time > $TIME": _listing("create_time > $TIME"),
    "list, factory_id = $FACTORY by display_name": _listing("factory_id = $FACTORY", "display_name"),
}
"""Calls whose cost grows with the size, as the contract documents."""


@click.command()
@click.option("--sprockets", type=click.IntRange(20_000), default=1_000_000, help="Sprockets in the large database.")
@click.option("--entries", type=click.IntRange(100_000), default=5_000_000, help="Chart entries in the large database.")
@click.option("--rounds", type=click.IntRange(1), default=60, help="Measurements of each call, in turns.")
def main(*, sprockets: int, entries: int, rounds: int) -> None:
    """Compare the latency of calls on a large database with that on a small one.

    Both are in one new PostgreSQL, which is not durable. Ten million sprockets and 50 million entries take 10 GB.
    """
    progress = Progress()
    sizes = {"small": _SMALL, "large": Size(sprockets, entries)}
    with ExitStack() as until_the_end:
        with progress.step("starting PostgreSQL"):
            postgres = until_the_end.enter_context(fresh_postgres())
        stocks = {}
        for name, size in sizes.items():
            url = _new_database(postgres.url, name)
            fill(url, size, progress)
            server = until_the_end.enter_context(serving(url))
            channel = until_the_end.enter_context(grpc.insecure_channel(server.address))
            stocks[name] = Stock(size, SprocketServiceStub(channel), FactoryServiceStub(channel))
        figures = [_compare(what, call, stocks, rounds, progress, (_PROMISED,)) for what, call in CALLS.items()]
        figures += [_compare(what, call, stocks, min(rounds, 3), progress, ()) for what, call in OTHER_CALLS.items()]
    report("scale", figures, {"sprockets": sprockets, "entries": entries, "rounds": rounds, "durable": False})


def _new_database(url: str, name: str) -> str:
    with create_plain_engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    made = make_url(url).set(database=name).render_as_string(hide_password=False)
    migrate.upgrade(made)
    return made


def _compare(
    what: str, call: Call, stocks: Mapping[str, Stock], rounds: int, progress: Progress, targets: tuple[Target, ...]
) -> Figure:
    """Measure a call on both databases in turns."""
    times: dict[str, list[float]] = {name: [] for name in stocks}
    with progress.step(what):
        for _ in range(_WARM_UP + rounds):
            for name, stock in stocks.items():
                begin = time.perf_counter()
                call(stock)
                times[name].append(1000 * (time.perf_counter() - begin))
    return Figure(what, "ms", times["large"][_WARM_UP:], "small", times["small"][_WARM_UP:], targets)


if __name__ == "__main__":
    main()
