"""Reads orders (AIP-132), such as `city, display_name desc`."""

from collections.abc import Mapping
from dataclasses import dataclass

from sprocket_grpc.errors import InvalidArgumentError, Violation
from sprocket_grpc.query.kinds import Kind
from sprocket_grpc.query.values import shown

MAXIMUM_LENGTH = 200

_FIELD = "order_by"
_DIRECTIONS = {"": False, "asc": False, "desc": True}


@dataclass(frozen=True)
class OrderTerm:
    """A field to order by, and whether the greatest value comes first."""

    field: str
    descending: bool


def parse_order_by(text: str, kinds: Mapping[str, Kind]) -> tuple[OrderTerm, ...]:
    """Read an order.

    Args:
        text: What the client wrote.
        kinds: The fields that can be ordered by.

    Returns:
        Its terms, the most significant first. None of them where it says nothing.

    Raises:
        InvalidArgumentError: It is wrong, and the text says what.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise _refusal(f"at most {MAXIMUM_LENGTH} characters are allowed, these are {len(text)}")
    if not text.strip():
        return ()
    terms = tuple(_term(written, kinds) for written in text.split(","))
    fields = [term.field for term in terms]
    for field in fields:
        if fields.count(field) > 1:
            raise _refusal(f"{field} is named more than once")
    return terms


def _term(written: str, kinds: Mapping[str, Kind]) -> OrderTerm:
    field, _, direction = " ".join(written.split()).partition(" ")
    if not field:
        raise _refusal("a field is missing beside a comma")
    if field not in kinds:
        raise _refusal(f"{shown(field)} is not a field to order by")
    if direction not in _DIRECTIONS:
        raise _refusal(f"after {field} only asc or desc may stand, not {shown(direction)}")
    return OrderTerm(field, _DIRECTIONS[direction])


def _refusal(what: str) -> InvalidArgumentError:
    return InvalidArgumentError([Violation(_FIELD, what)])
