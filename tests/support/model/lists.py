"""What lists are to return: filters as predicates, orders as sorts, pages as slices."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.resources import Case

DEFAULT_PAGE_SIZE = 50


@dataclass(frozen=True)
class Filter:
    """A filter: how it is written, and what it lets through; `test` is None if it is no filter."""

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
        rows: What is on it.
        more: Whether there is a next page.
        total: How many rows the filter lets through.
    """

    rows: list[Any]
    more: bool
    total: int


def value(name: str, row: Any) -> Any:
    """Return what rows are compared by: text by its code points, times by their microseconds."""
    found = getattr(row, name)
    return found.ToMicroseconds() if isinstance(found, Timestamp) else found


def in_order(rows: Iterable[Any], order_by: str) -> list[Any]:
    """Sort rows by an order, and by their ids, in the direction of its last term, where that says nothing."""
    terms = [term.split() for term in order_by.split(",") if term]
    result = sorted(rows, key=lambda row: str(row.id), reverse=bool(terms) and terms[-1][1:] == ["desc"])
    for field, *direction in reversed(terms):
        result.sort(key=partial(value, field), reverse=direction == ["desc"])
    return result


def wrong_in_list(case: Case, request: Any, chosen: Filter) -> set[str]:
    """Return the paths of all fields of a request that are wrong in themselves; the page token is not looked at."""
    wrong = {"page_size": request.page_size < 0, "filter": chosen.test is None}
    wrong["order_by"] = not _is_order(case, request.order_by)
    return {path for path, is_wrong in wrong.items() if is_wrong}


def _is_order(case: Case, order_by: str) -> bool:
    fields = set(getattr(case.pb, case.kind).DESCRIPTOR.fields_by_name) - {"etag"}
    terms = [term.split() for term in order_by.split(",") if term]
    return all(field in fields and direction in ([], ["desc"]) for field, *direction in terms)


def page(rows: Iterable[Any], request: Any, chosen: Filter, last: Any | None) -> Page:
    """Return the page that follows `last`, which itself may be gone or changed by now."""
    assert chosen.test is not None
    through = [row for row in rows if chosen.test(row)]
    after = in_order(through, request.order_by)
    if last is not None:
        together = in_order([*through, last], request.order_by)  # behind the row itself, if that is still there
        after = together[next(index for index, row in enumerate(together) if row is last) + 1 :]
    size = min(request.page_size or DEFAULT_PAGE_SIZE, 1000)
    here = after[:size]
    return Page(here, len(after) > size, len(through))
