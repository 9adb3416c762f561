"""Filters and orders in PostgreSQL have the same results as a model in plain Python."""

import operator
import random
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Table, text

from sprocket_grpc.query.case_folding import fold
from sprocket_grpc.query.filter import MAXIMUM_LENGTH, parse_filter
from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import parse_order_by
from sprocket_grpc.query.values import Kind
from sprocket_grpc.storage.listing import ID
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.resource import ResourceStore
from sprocket_grpc.storage.tables import location, sprocket_type
from sprocket_grpc.testing.postgres import new_database

Row: TypeAlias = Mapping[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
LAST = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // MICROSECOND
NOON = (datetime(2026, 2, 28, 12, tzinfo=UTC) - EPOCH) // MICROSECOND

# Few values of each kind, so that there are ties in every field.
TEXTS = [*"aAbZ~%_\\/*é€字🏭", "ab", "a%b", "a_b", "a\\b", "a*", "*b", "a*b", '"x"', "🏭b", "AND", "city"]
TEXTS += ["aB c", "it's", " a", "e\u0301", "\uffff"]
TEXTS += ["É", "\u0131I", "i\u0130", "Straße", "STRAẞE", "ΟΔΟΣ", "οδοσ", "\u212as", "k\u017f"]
INTEGERS = [1, 2, 10, 9_999]
NUMBERS = [5e-324, 0.1, 0.30000000000000004, 1.0, 12.7, 1e16, 1.7976931348623157e308]
TIMES = [-(2**40) - 1, 0, NOON, NOON + 1, NOON + 1_000_000, 2**52 + 1]
IDS = [str(uuid.UUID(int=number)) for number in (0, 1, 2**64, 2**127, 2**128 - 1)]
BEYOND: Mapping[Kind, Sequence[Any]] = {
    Kind.TEXT: ["", "c", "y", "ä"],
    Kind.INTEGER: [0, -1, 2**31, 2**63 - 1, -(2**63)],
    Kind.NUMBER: [0.0, -0.0, -1.5, 0.3, 1e-300],
    Kind.TIME: [FIRST, LAST],
    Kind.IDENTIFIER: IDS,
}
"""Values in filters in addition to the stored values."""


@dataclass(frozen=True)
class Stock:
    """The rows of a table, and the fields for filters and orders."""

    table: Table
    kinds: Mapping[str, Kind]
    rows: Sequence[Row]


def made(table: Table, fixed: Row, drawn: Mapping[str, tuple[Kind, Sequence[Any]]]) -> Stock:
    """Make random rows, the same in every run."""
    draw = random.Random(table.name)  # noqa: S311  # no secret
    drawn = {"create_time": (Kind.TIME, TIMES), "update_time": (Kind.TIME, TIMES), **drawn}
    ids = [*IDS, *(str(uuid.UUID(int=draw.getrandbits(128))) for _ in range(35))]
    rows = [{"id": id_, **fixed, **{name: draw.choice(pool) for name, (_, pool) in drawn.items()}} for id_ in ids]
    return Stock(table, {"id": Kind.IDENTIFIER} | {name: kind for name, (kind, _) in drawn.items()}, rows)


STOCKS = [
    made(
        location,
        {"address": "x", "administrative_area": "", "postal_code": "x", "country_code": "US"},
        {
            "display_name": (Kind.TEXT, [name for name in TEXTS if name.strip()]),
            "address_2": (Kind.TEXT, ["", " ", *TEXTS]),
            "city": (Kind.TEXT, ["a", "A", "ab", "aB c", "b"]),
        },
    ),
    made(
        sprocket_type,
        {"pitch_diameter_mm": 1.0, "outside_diameter_mm": 1.0},
        {
            "display_name": (Kind.TEXT, TEXTS),
            "teeth": (Kind.INTEGER, INTEGERS),
            "pitch_mm": (Kind.NUMBER, NUMBERS),
        },
    ),
]
BY_TABLE = pytest.mark.parametrize("stock", STOCKS, ids=lambda stock: stock.table.name)


@pytest.fixture(scope="module")
def connection(postgres: str, template: str) -> Iterator[Connection]:
    """A connection to a database that holds the stocks."""
    with new_database(postgres, template) as url, create_plain_engine(url).connect() as connection:
        fill(connection)
        yield connection


def fill(connection: Connection) -> None:
    """Insert the stocks."""
    for stock in STOCKS:
        names = ", ".join(stock.rows[0])
        values = ", ".join(f":{name}" for name in stock.rows[0])
        statement = text(f"INSERT INTO {stock.table.name} ({names}) VALUES ({values})")  # noqa: S608  # our names
        connection.execute(statement, [stored(stock, row) for row in stock.rows])


def stored(stock: Stock, row: Row) -> dict[str, Any]:
    return {name: instant(value) if stock.kinds.get(name) is Kind.TIME else value for name, value in row.items()}


def instant(micros: int) -> datetime:
    return EPOCH + micros * MICROSECOND


@dataclass(frozen=True)
class FilterPart:
    """A part of a filter: its text and its predicate."""

    written: str
    holds: Callable[[Row], bool]


COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TEXT_COMPARED: Mapping[tuple[str, str], Callable[[str, str], bool]] = {
    ("=*", ""): str.endswith,
    ("=", "*"): str.startswith,
    ("=*", "*"): str.__contains__,
    ("!=*", ""): lambda held, value: not held.endswith(value),
    ("!=", "*"): lambda held, value: not held.startswith(value),
    ("!=*", "*"): lambda held, value: value not in held,
    (":", ""): lambda held, value: fold(value) in fold(held),
}
"""The predicate for the comparator with a leading `*`, and the trailing `*`, of a value."""


def comparison_of(written: str, field: str, compared: Callable[[Any, Any], bool], value: Any) -> FilterPart:
    return FilterPart(written, lambda row: compared(row[field], value))


def text_comparisons(field: str, value: str, quote: str) -> Iterator[FilterPart]:
    escaped = value.replace("\\", "\\\\").replace("*", "\\*").replace(quote, f"\\{quote}")
    for comparator, compared in COMPARED.items():
        yield comparison_of(f"{field} {comparator} {quote}{escaped}{quote}", field, compared, value)
    for (before, trailing), compared in TEXT_COMPARED.items():
        comparator, leading = before.rstrip("*"), before[len(before.rstrip("*")) :]
        yield comparison_of(f"{field}{comparator}{quote}{leading}{escaped}{trailing}{quote}", field, compared, value)
    if field == "display_name":
        yield comparison_of(f"{quote}{escaped}{quote}", field, TEXT_COMPARED[":", ""], value)


def value_written(draw: random.Random, kind: Kind, value: Any) -> str:
    written = repr(value) if kind in (Kind.INTEGER, Kind.NUMBER) else str(value)
    if kind is Kind.TIME:
        offset = timedelta(minutes=0 if value in (FIRST, LAST) else draw.randint(-1439, 1439))
        written = instant(value).astimezone(timezone(offset)).isoformat()
    return draw.choice([written, f'"{written}"'])


def comparisons(stock: Stock, fields: Collection[str] | None = None) -> Iterator[FilterPart]:
    """Yield comparisons of some fields, by default all, with stored and other values, with every operator."""
    draw = random.Random(stock.table.name)  # noqa: S311  # no secret
    for field, kind in ((name, kind) for name, kind in stock.kinds.items() if fields is None or name in fields):
        yield comparison_of(f"{field}:*", field, operator.ne, "")
        for value in [*dict.fromkeys(row[field] for row in stock.rows), *BEYOND[kind]]:
            if kind is Kind.TEXT:
                yield from text_comparisons(field, value, draw.choice("\"'"))
                continue
            for comparator, compared in [*COMPARED.items(), (":", operator.eq)]:
                space = draw.choice(["", " ", "\t\n"])
                written = f"{field}{space}{comparator}{space}{value_written(draw, kind, value)}"
                yield comparison_of(written, field, compared, value)
            if kind is Kind.TIME:
                yield from finer_comparisons(field, value)


def finer_comparisons(field: str, micros: int) -> Iterator[FilterPart]:
    """Yield comparisons with a time one nanosecond after a microsecond, which is equal to none."""
    written = f"{instant(micros).isoformat(timespec='microseconds').removesuffix('+00:00')}001Z"
    for comparator, compared in COMPARED.items():
        yield FilterPart(
            f"{field} {comparator} {written}",
            lambda row, compared=compared: compared(row[field] * 1000, micros * 1000 + 1),  # type: ignore[misc]
        )


@st.composite
def conjunctions(draw: st.DrawFn, groups: st.SearchStrategy[list[list[FilterPart]]]) -> FilterPart:
    """Join terms with AND and OR without parentheses, to test the precedence."""
    drawn = draw(groups)
    joined = draw(st.sampled_from([" AND ", " "])).join(" OR ".join(term.written for term in group) for group in drawn)
    return FilterPart(joined, lambda row: all(any(term.holds(row) for term in group) for group in drawn))


def joined(terms: st.SearchStrategy[FilterPart]) -> st.SearchStrategy[FilterPart]:
    return conjunctions(st.lists(st.lists(terms, min_size=1, max_size=3), min_size=1, max_size=3))


def negations(terms: st.SearchStrategy[FilterPart]) -> st.SearchStrategy[FilterPart]:
    def negated(sign: str, term: FilterPart) -> FilterPart:
        return FilterPart(sign + term.written, lambda row: not term.holds(row))

    return st.builds(negated, st.sampled_from(["NOT ", "-"]), terms)


def parentheses(terms: st.SearchStrategy[FilterPart]) -> st.SearchStrategy[FilterPart]:
    return joined(terms).map(lambda inner: FilterPart(f"({inner.written})", inner.holds))


def filters(stock: Stock) -> st.SearchStrategy[FilterPart]:
    simple = st.sampled_from(list(comparisons(stock)))
    nested = st.recursive(simple, lambda terms: negations(terms) | parentheses(terms), max_leaves=5)
    return joined(nested).filter(lambda whole: len(whole.written) <= MAXIMUM_LENGTH)


def orders(stock: Stock) -> st.SearchStrategy[list[tuple[str, str]]]:
    term = st.tuples(st.sampled_from(sorted(stock.kinds)), st.sampled_from(["", " asc", " desc"]))
    return st.lists(term, unique_by=operator.itemgetter(0), max_size=4)


STORES = {stock.table.name: ResourceStore(stock.table) for stock in STOCKS}
FILTERS = {stock.table.name: filters(stock) for stock in STOCKS}
ORDERS = {stock.table.name: orders(stock) for stock in STOCKS}
SIZES = st.sampled_from([1, 7, 39, 40, 41])


def selected(connection: Connection, stock: Stock, written: str) -> list[str]:
    expression = parse_filter(written, stock.kinds)
    assert expression is not None
    query, store = Query(expression), STORES[stock.table.name]
    found = sorted(row[ID] for row in store.page(query, None, len(stock.rows) + 1).on(connection))
    assert store.count(query).on(connection) == len(found)
    return found


def modelled(stock: Stock, whole: FilterPart) -> list[str]:
    return sorted(row["id"] for row in stock.rows if whole.holds(row))


@BY_TABLE
def test_every_comparison_selects_the_same_rows_as_the_model(connection: Connection, stock: Stock) -> None:
    for comparison in comparisons(stock):
        found = selected(connection, stock, comparison.written)
        assert found == modelled(stock, comparison), comparison.written


@BY_TABLE
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_filters_select_the_same_rows_as_the_model(
    connection: Connection, stock: Stock, data: st.DataObject
) -> None:
    whole = data.draw(FILTERS[stock.table.name])
    assert selected(connection, stock, whole.written) == modelled(stock, whole)


@BY_TABLE
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_pages_in_random_orders_have_the_order_of_the_model(
    connection: Connection, stock: Stock, data: st.DataObject
) -> None:
    order = data.draw(ORDERS[stock.table.name])
    ends_downwards = bool(order) and order[-1][1] == " desc"
    expected = sorted(stock.rows, key=operator.itemgetter("id"), reverse=ends_downwards)
    for field, direction in reversed(order):
        expected.sort(key=operator.itemgetter(field), reverse=direction == " desc")
    paged = pages(connection, stock, ",".join(map("".join, order)), data.draw(SIZES))
    assert list(paged) == [row["id"] for row in expected]


def pages(connection: Connection, stock: Stock, order_by: str, size: int) -> Iterator[str]:
    query, store = Query(order=parse_order_by(order_by, stock.kinds)), STORES[stock.table.name]
    page = store.page(query, None, size).on(connection)
    while page:
        yield from (row[ID] for row in page)
        page = store.page(query, store.sort_key(query, page[-1]), size).on(connection)
