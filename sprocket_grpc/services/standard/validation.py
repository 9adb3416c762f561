"""The rules of fields. A rule takes a value and returns what is wrong with it, or None.

The same rules stand in the comments of the protos and in the constraints of the tables.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from sprocket_grpc.errors import InvalidArgumentError, Violation

MOST_IN_BATCH = 1000
"""The most items of a batch."""

NIL = "00000000-0000-0000-0000-000000000000"
"""The nil UUID (RFC 9562, section 5.9)."""

Rule: TypeAlias = Callable[[Any], str | None]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
_COUNTRY_CODE = re.compile(r"[A-Z]{2}")


def required_text(maximum: int) -> Rule:
    """Make the rule for text of 1 to `maximum` characters that is not only white space."""
    within = optional_text(maximum)
    return lambda value: within(value) if value.strip() else "required, and more than white space"


def optional_text(maximum: int) -> Rule:
    """Make the rule for text of up to `maximum` characters. PostgreSQL cannot store NUL in text."""

    def check(value: str) -> str | None:
        if len(value) > maximum:
            return f"at most {maximum} characters are allowed"
        return "the character NUL is not allowed" if "\0" in value else None

    return check


def between(minimum: int, maximum: int) -> Rule:
    """Make the rule for a whole number, both limits included."""
    return lambda value: None if minimum <= value <= maximum else f"must be {minimum} to {maximum}"


def not_negative(value: int) -> str | None:
    """Check a number that may be 0 or more."""
    return None if value >= 0 else "must be 0 or more"


def positive(value: float) -> str | None:
    """Check a number that must be over 0 and finite."""
    return None if math.isfinite(value) and value > 0 else "must be greater than 0 and finite"


def identifier(value: str) -> str | None:
    """Check an id."""
    return None if _UUID.fullmatch(value) else "must be a UUID in lower case with hyphens"


def new_identifier(value: str) -> str | None:
    """Check the shape of an id that a caller chooses. Many systems write the nil UUID where there is no id."""
    return "must not be the nil UUID" if value == NIL else identifier(value)


def country_code(value: str) -> str | None:
    """Check the shape of an ISO 3166-1 alpha-2 code."""
    return None if _COUNTRY_CODE.fullmatch(value) else "must be two capital letters, an ISO 3166-1 alpha-2 code"


def etag(value: str) -> str | None:
    """Check that a value is empty or has the shape of a strong entity tag (RFC 7232, section 2.3)."""
    return None if not value or _ETAG.fullmatch(value) else "must be quoted, as it was received"


def violations(prefix: str, rules: Mapping[str, Rule], values: Mapping[str, Any]) -> list[Violation]:
    """Return the violations of `values`; their paths begin with `prefix`."""
    return [Violation(f"{prefix}{name}", wrong) for name, value in values.items() if (wrong := rules[name](value))]


def id_violations(field: str, value: str) -> list[Violation]:
    """Return the violations of an id."""
    return violations("", {field: identifier}, {field: value})


def etag_violations(field: str, value: str) -> list[Violation]:
    """Return the violations of the etag that a caller expects."""
    return violations("", {field: etag}, {field: value})


def batch_violations(field: str, items: Sequence[object]) -> list[Violation]:
    """Return the violations of the size of a batch."""
    return [] if 1 <= len(items) <= MOST_IN_BATCH else [Violation(field, f"must be 1 to {MOST_IN_BATCH:,}")]


def ids_violations(field: str, values: Sequence[str]) -> list[Violation]:
    """Return the violations of the ids of a batch."""
    each = (Violation(f"{field}[{index}]", wrong) for index, value in enumerate(values) if (wrong := identifier(value)))
    return batch_violations(field, values) or list(each)


def raise_if_invalid(found: Sequence[Violation]) -> None:
    """Raise an error that names all violations, if there are any.

    Raises:
        InvalidArgumentError: There are violations.
    """
    if found:
        raise InvalidArgumentError(found)


@contextmanager
def collecting(found: list[Violation]) -> Iterator[None]:
    """Add the violations that end the block to those that were found before."""
    try:
        yield
    except InvalidArgumentError as error:
        found += error.violations
