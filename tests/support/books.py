"""Checks that sprockets, counters and charts in the database agree, reads charts, and fills long ones."""

from collections.abc import Sequence
from itertools import pairwise, starmap
from typing import Any, NamedTuple

from sqlalchemy import text

from sprocket.v1.factory_pb2 import FactoryChart, GetFactoryChartRequest
from sprocket_grpc.storage.postgres.connection import Connection
from tests.support.service import Service

_FACTORIES = text("""
    SELECT id::text, sprocket_production_goal, sprocket_production_actual,
           (SELECT count(*) FROM sprocket WHERE factory_id = factory.id),
           coalesce((SELECT first_sequence FROM chart_start WHERE factory_id = factory.id), 1),
           ARRAY(SELECT sequence FROM chart_entry WHERE factory_id = factory.id ORDER BY sequence),
           ARRAY(SELECT time_micros FROM chart_entry WHERE factory_id = factory.id ORDER BY sequence),
           ARRAY(SELECT sprocket_production_goal FROM chart_entry WHERE factory_id = factory.id ORDER BY sequence),
           ARRAY(SELECT sprocket_production_actual FROM chart_entry WHERE factory_id = factory.id ORDER BY sequence)
    FROM factory ORDER BY id
""")
_PAGES = text("SELECT factory_id::text, first_sequence, wire FROM chart_page ORDER BY last_sequence DESC")

_FILL = [
    "DELETE FROM chart_entry WHERE factory_id = :factory_id",
    """
    INSERT INTO chart_entry SELECT CAST(:factory_id AS uuid), n, n, 9223372036854775807 - n, 3 * n
    FROM generate_series(1, :entries) AS n
    """,
    """
    UPDATE factory SET chart_sequence = :entries, chart_time_micros = :entries,
        sprocket_production_goal = 9223372036854775807 - :entries, sprocket_production_actual = 3 * :entries
    WHERE id = :factory_id
    """,
]


class Chart(NamedTuple):
    """A complete chart as a client reads it.

    Attributes:
        times: The time of each entry, in microseconds since 1970.
        numbers: The goal and the actual of each entry.
    """

    times: list[int]
    numbers: list[tuple[int, int]]


class Book(NamedTuple):
    """The production data of one factory in the database; the lists have one item per chart entry that is kept."""

    factory_id: str
    goal: int
    actual: int
    sprockets: int
    first: int
    sequences: list[int]
    times: list[int]
    goals: list[int]
    actuals: list[int]

    def add_page(self, first: int, chart: FactoryChart) -> None:
        """Add a page of the chart, the last one first."""
        self.sequences[:0] = range(first, first + len(chart.time_micros))
        self.times[:0] = chart.time_micros
        self.goals[:0] = chart.sprocket_production_goal
        self.actuals[:0] = chart.sprocket_production_actual

    def cut(self) -> None:
        """Remove entries that have expired, and are stored with others in a page."""
        hidden = self.first - self.sequences[0]
        for column in (self.sequences, self.times, self.goals, self.actuals):
            del column[:hidden]

    def assert_in_order(self) -> None:
        """Check that counter, sprockets and chart agree, and that the chart has no gaps and only real changes."""
        assert self.actual == self.sprockets == self.actuals[-1]
        assert self.goal == self.goals[-1]
        assert self.sequences == list(range(self.first, self.first + len(self.sequences)))
        assert self.times == sorted(self.times)
        numbers = list(zip(self.goals, self.actuals, strict=True))
        assert all(later != earlier for earlier, later in pairwise(numbers))


async def query(service: Service, statement: str, **parameters: Any) -> Sequence[Any]:
    """Run a statement on the database of the service, and return its rows."""

    def work(connection: Connection) -> Sequence[Any]:
        return connection.execute(text(statement), parameters).all()

    return await service.database.run(work)


async def fill_chart(service: Service, factory_id: str, entries: int) -> None:
    """Give a factory a chart of `entries` entries, with large and distinct numbers."""
    for statement in _FILL:
        await query(service, statement, factory_id=factory_id, entries=entries)


async def read_chart(service: Service, factory_id: str) -> Chart:
    """Read a chart to its end, and return it in one piece."""
    chart = Chart([], [])
    async for response in service.factories.GetFactoryChart(GetFactoryChartRequest(factory_id=factory_id)):
        chunk = response.chart
        chart.times.extend(chunk.time_micros)
        goals, actuals = chunk.sprocket_production_goal, chunk.sprocket_production_actual
        chart.numbers.extend(zip(goals, actuals, strict=True))
    return chart


async def numbers_of(service: Service, factory_id: str) -> list[tuple[int, int]]:
    """Read the goal and the actual of each entry of a chart."""
    return (await read_chart(service, factory_id)).numbers


async def assert_books_agree(service: Service) -> None:
    """Check for every factory that sprockets, counter and chart agree, and that the chart is in order."""
    for book in await read_books(service):
        book.assert_in_order()


async def read_books(service: Service) -> list[Book]:
    """Read the production data of all factories, in the order of their ids."""

    def work(connection: Connection) -> list[Book]:
        books = {book.factory_id: book for book in starmap(Book, connection.execute(_FACTORIES))}
        for factory_id, first, wire in connection.execute(_PAGES):
            books[factory_id].add_page(first, FactoryChart.FromString(wire))
        for book in books.values():
            book.cut()
        return list(books.values())

    return await service.database.run(work)
