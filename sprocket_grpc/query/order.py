"""Parses `order_by` (AIP-132), such as `city, display_name desc`."""

from collections.abc import Mapping
from dataclasses import dataclass

from sprocket_grpc.errors import InvalidArgumentError, Violation
from sprocket_grpc.query.values import Kind, quoted

MAXIMUM_LENGTH = 200

_FIELD = "order_by"
_DIRECTIONS = {"": False, "asc": False, "desc": True}


@dataclass(frozen=True)
class OrderTerm:
    """A field to order by, and whether in descending order."""

    field: str
    descending: bool


def parse_order_by(text: str, kinds: Mapping[str, Kind]) -> tuple[OrderTerm, ...]:
    """Return the terms of an order, the most significant first; an empty tuple if the order is empty.

    Args:
        text: The order.
        kinds: The kinds of the fields that can be ordered by.

    Raises:
        InvalidArgumentError: The order is not valid. The text says why.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise _invalid(f"at most {MAXIMUM_LENGTH} characters are allowed, the order has {len(text)}")
    if not text.strip():
        return ()
    terms = tuple(_term(written, kinds) for written in text.split(","))
    fields = [term.field for term in terms]
    for field in fields:
        if fields.count(field) > 1:
            raise _invalid(f"{field} occurs more than once")
    return terms


def _term(written: str, kinds: Mapping[str, Kind]) -> OrderTerm:
    field, _, direction = " ".join(written.split()).partition(" ")
    if not field:
        raise _invalid("expected a field before and after every comma")
    if field not in kinds:
        raise _invalid(f"{quoted(field)} is not a field that can be ordered by")
    if direction not in _DIRECTIONS:
        raise _invalid(f"expected asc or desc after {field}, not {quoted(direction)}")
    return OrderTerm(field, _DIRECTIONS[direction])


def _invalid(description: str) -> InvalidArgumentError:
    return InvalidArgumentError([Violation(_FIELD, description)])
