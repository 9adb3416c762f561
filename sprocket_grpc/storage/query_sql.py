"""Filters and orders as SQL expressions: over the columns of a table, with every value as a parameter."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    func,
    literal,
    not_,
    or_,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import array

from sprocket_grpc.query.case_folding import fold, other_cases
from sprocket_grpc.query.expression import And, Comparison, Expression, Not, Operator, Or, Value
from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import OrderTerm
from sprocket_grpc.storage.postgres.types import Instant

SortKey: TypeAlias = Sequence[Value]
"""The position of a row in an order: the values, in wire form, of the columns of the order."""

BY_ID = OrderTerm("id", descending=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COMPARISONS: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQUAL: eq,
    Operator.NOT_EQUAL: ne,
    Operator.LESS: lt,
    Operator.LESS_OR_EQUAL: le,
    Operator.GREATER: gt,
    Operator.GREATER_OR_EQUAL: ge,
}


class Placeholder(str):
    """The name of a parameter, in the place of its value."""

    __slots__ = ()


class Shape(NamedTuple):
    """A query in which placeholders are in the places of most values, so that many queries have the same.

    Attributes:
        query: The query.
        after: Where it continues.
        is_general: Whether it has placeholders in all places. How text is searched depends on the text.
    """

    query: Query
    after: SortKey | None
    is_general: bool


def shape_of(table: Table, query: Query, after: SortKey | None = None) -> tuple[Shape, dict[str, object]]:
    """Return the shape of a query, and the values of its placeholders by their names."""
    values = _Values(table)
    filtered = values.taken_from(query.filter) if query.filter else None
    terms = _with_id(query.order) if after else ()
    key = [values.take(term.field, value) for term, value in zip(terms, after or (), strict=True)]
    return Shape(Query(filtered, query.order), tuple(key) or None, values.are_all), values.by_name


class _Values:
    """The values that are taken from a query."""

    def __init__(self, table: Table) -> None:
        self.by_name: dict[str, object] = {}
        self.are_all = True
        self._table = table

    def take(self, field: str, value: Value) -> Placeholder:
        """Take a value that a field is compared with, and return what takes its place."""
        name = Placeholder(f"value_{len(self.by_name)}")
        self.by_name[name] = _instant(value) if isinstance(self._table.c[field].type, Instant) else value
        return name

    def taken_from(self, expression: Expression) -> Expression:
        """Take the values from a filter, and return what is left of it."""
        match expression:
            case And(operands) | Or(operands):
                return type(expression)(tuple(map(self.taken_from, operands)))
            case Not(operand):
                return Not(self.taken_from(operand))
            case Comparison(field, operator, value) if operator in _COMPARISONS:
                return Comparison(field, operator, self.take(field, value))
        self.are_all = False
        return expression


def condition(table: Table, expression: Expression) -> ColumnElement[bool]:
    """Convert a filter to a condition on the rows of a table, whose columns have the names of the fields."""
    match expression:
        case And(operands):
            return and_(*(condition(table, operand) for operand in operands))
        case Or(operands):
            return or_(*(condition(table, operand) for operand in operands))
        case Not(operand):
            return not_(condition(table, operand))
        case Comparison(field, operator, value):
            return _comparison(table.c[field], operator, value)


def agreed_field(table: Table, expression: Expression | None) -> str | None:
    """Return a field that the filter fixes to one value, and that has an index followed by the id; or None."""
    operands = expression.operands if isinstance(expression, And) else [expression]
    equal = [each.field for each in operands if isinstance(each, Comparison) and each.operator is Operator.EQUAL]
    return next((field for field in equal if _has_index(table.c[field])), None)


def is_index_range(table: Table, query: Query) -> bool:
    """Whether the rows of a query are a range of an index in the order of their ids, so that a page reads no others."""
    is_one = isinstance(query.filter, Comparison) and agreed_field(table, query.filter) is not None
    return is_one and all(term.field == BY_ID.field for term in query.order)


def order_columns(table: Table, terms: Sequence[OrderTerm]) -> list[ColumnElement[Any]]:
    """Return the columns to order by: the terms, then the id, so that the order is total."""
    columns = ((_comparable(table.c[term.field]), term) for term in _with_id(terms))
    return [column.desc() if term.descending else column.asc() for column, term in columns]


def after(table: Table, terms: Sequence[OrderTerm], key: SortKey) -> ColumnElement[bool]:
    """Make the condition for the rows after the position `key` in an order."""
    bounds = [
        (_comparable(table.c[term.field]), _parameter(table.c[term.field], value), term.descending)
        for term, value in zip(_with_id(terms), key, strict=True)
    ]
    if _agree(bounds):
        return _after(bounds)
    # Redundant, but bounds the range of an index on the first column.
    column, value, descending = bounds[0]
    return and_(column <= value if descending else column >= value, _after(bounds))


def sort_key(columns: Sequence[Column[Any]], terms: Sequence[OrderTerm], row: Sequence[Any]) -> list[Value]:
    """Return the position of a row in an order, as `after` takes it.

    Args:
        columns: The columns of the row, in their order.
        terms: The order.
        row: The values in wire form.
    """
    values = {column.name: value for column, value in zip(columns, row, strict=True)}
    return [values[term.field] for term in _with_id(terms)]


_Bound: TypeAlias = tuple[ColumnElement[Any], ColumnElement[Any], bool]


def _after(bounds: Sequence[_Bound]) -> ColumnElement[bool]:
    (column, value, descending), *rest = bounds
    if _agree(bounds):
        # A comparison of rows, which PostgreSQL can answer from one range of an index.
        columns, values, _ = zip(*bounds, strict=True)
        return _beyond(tuple_(*columns), tuple_(*values), descending=descending)
    return or_(_beyond(column, value, descending=descending), and_(column == value, _after(rest)))


def _agree(bounds: Sequence[_Bound]) -> bool:
    return len({descending for _, _, descending in bounds}) == 1


def _beyond(left: ColumnElement[Any], right: ColumnElement[Any], *, descending: bool) -> ColumnElement[bool]:
    return left < right if descending else left > right


def _with_id(terms: Sequence[OrderTerm]) -> list[OrderTerm]:
    """Add the id, in the direction of the last term: so an index on a field and the id has both orders by the field."""
    if any(term.field == BY_ID.field for term in terms):
        return [*terms]
    return [*terms, OrderTerm(BY_ID.field, descending=bool(terms) and terms[-1].descending)]


def _comparison(column: Column[Any], operator: Operator, value: Value) -> ColumnElement[bool]:
    if operator is Operator.EQUAL and _has_index(column):
        # With `=` PostgreSQL takes the field for a constant and may scan the ids in order: through all older rows if
        # the matching ones are the newest.
        return _comparable(column) == any_(array([_parameter(column, value)]))
    if operator in _COMPARISONS:
        compared: ColumnElement[bool] = _COMPARISONS[operator](_comparable(column), _parameter(column, value))
        return compared
    return _text_condition(column, operator, str(value)) if isinstance(column.type, Text) else true()


def _text_condition(column: Column[str], operator: Operator, value: str) -> ColumnElement[bool]:
    match operator:
        case Operator.PRESENT:
            return column != literal("")
        case Operator.STARTS_WITH:
            return _comparable(column).startswith(value, autoescape=True)
        case Operator.ENDS_WITH:
            return _comparable(column).endswith(value, autoescape=True)
        case Operator.CONTAINS:
            return _comparable(column).contains(value, autoescape=True)
    return _contains_in_any_case(column, value)


def _contains_in_any_case(column: Column[str], value: str) -> ColumnElement[bool]:
    """Compare without case. In "C" PostgreSQL changes the letters of ASCII only, so others are translated to match."""
    wanted = fold(value)
    held = func.lower(_comparable(column), type_=Text)
    if others := other_cases(wanted):
        held = func.translate(held, "".join(others), "".join(others.values()), type_=Text)
    return func.strpos(held, wanted, type_=Integer) > 0


@cache
def _has_index(column: Column[Any]) -> bool:
    """Whether there is an index on a column with the id behind it, which has equal rows in the order of their ids."""
    table = column.table
    keys = [table.primary_key.columns, *(index.columns for index in table.indexes)]
    return any([each.name for each in key] == [column.name, BY_ID.field] for key in keys)


def _comparable(column: Column[Any]) -> ColumnElement[Any]:
    """Make text compare by code points, independent of the locale of the database."""
    return column.collate("C") if isinstance(column.type, Text) else column


def _parameter(column: Column[Any], value: Value) -> ColumnElement[Any]:
    """Make a parameter from a value in wire form, of a type whose comparison an index on the column can serve."""
    is_time = isinstance(column.type, Instant)
    # A caller may compare with a number that the type of the column cannot hold.
    number_or_text = BigInteger() if isinstance(column.type, Integer) else column.type
    kind = DateTime(timezone=True) if is_time else number_or_text
    if isinstance(value, Placeholder):
        return bindparam(value, type_=kind)
    return literal(_instant(value) if is_time else value, kind)


def _instant(micros: Value) -> datetime:
    return _EPOCH + timedelta(microseconds=int(micros))
