"""Lists in the model: filters as predicates, orders as sorts, pages as slices."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.resources import Case

DEFAULT_PAGE_SIZE = 50


@dataclass(frozen=True)
class Filter:
    """A filter: its text and its predicate; `test` is None for an invalid filter."""

    text: str
    test: Callable[[Any], bool] | None


ALL_PASS = Filter("", lambda _: True)

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True)
class Page:
    """A page of a list.

    Attributes:
        rows: The rows on the page.
        more: Whether there is a next page.
        total: The number of all rows that match the filter.
    """

    rows: list[Any]
    more: bool
    total: int


def value(name: str, row: Any) -> Any:
    """Return the value of a field for comparisons: text by its code points, times by their microseconds."""
    found = getattr(row, name)
    return found.ToMicroseconds() if isinstance(found, Timestamp) else found


def in_order(rows: Iterable[Any], order_by: str) -> list[Any]:
    """Sort rows by an order, then by id in the direction of the last term."""
    terms = [term.split() for term in order_by.split(",") if term]
    result = sorted(rows, key=lambda row: str(row.id), reverse=bool(terms) and terms[-1][1:] == ["desc"])
    for field, *direction in reversed(terms):
        result.sort(key=partial(value, field), reverse=direction == ["desc"])
    return result


def invalid_list_fields(case: Case, request: Any, chosen: Filter) -> set[str]:
    """Return the paths of all invalid fields of a list request, except the page token."""
    invalid = {"page_size": request.page_size < 0, "filter": chosen.test is None}
    invalid["order_by"] = not _is_order(case, request.order_by)
    return {path for path, is_invalid in invalid.items() if is_invalid}


def _is_order(case: Case, order_by: str) -> bool:
    fields = set(getattr(case.pb, case.kind).DESCRIPTOR.fields_by_name) - {"etag"}
    terms = [term.split() for term in order_by.split(",") if term]
    return all(field in fields and direction in ([], ["desc"]) for field, *direction in terms)


def page(rows: Iterable[Any], request: Any, chosen: Filter, last: Any | None) -> Page:
    """Return the page after the row `last`, which may be deleted or changed in the meantime."""
    assert chosen.test is not None
    matching = [row for row in rows if chosen.test(row)]
    after = in_order(matching, request.order_by)
    if last is not None:
        together = in_order([*matching, last], request.order_by)  # `last` sorts after its current row, if that exists
        after = together[next(index for index, row in enumerate(together) if row is last) + 1 :]
    size = min(request.page_size or DEFAULT_PAGE_SIZE, 1000)
    here = after[:size]
    return Page(here, len(after) > size, len(matching))
