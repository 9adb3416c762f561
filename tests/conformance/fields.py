"""Valid and invalid values of every writable field, from the comments of the protos.

The one place for the fields of a resource: the conformance suite, the model and the tests of the schema use it.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.resources import MISSING_ID

Rule: TypeAlias = Callable[[Any], bool]

MEGABYTE = "x" * 1_000_000
EMOJI = "\N{GRINNING FACE}"
"""A character of four bytes, the longest encoding in UTF-8."""

MALFORMED_IDS = {
    "empty": "",
    "a word": "location",
    "upper case": MISSING_ID.upper(),
    "no hyphens": MISSING_ID.replace("-", ""),
    "hyphens elsewhere": "01937f2e7d1c-7a40-8a53-0c7f-5b1b9d55",
    "braces": "{" + MISSING_ID + "}",
    "a URN": f"urn:uuid:{MISSING_ID}",
    "one digit less": MISSING_ID[:-1],
    "one digit more": f"{MISSING_ID}0",
    "not a hexadecimal digit": f"g{MISSING_ID[1:]}",
    "a full-width digit": f"\N{FULLWIDTH DIGIT ZERO}{MISSING_ID[1:]}",
    "a space before": f" {MISSING_ID}",
    "a line end after": f"{MISSING_ID}\n",
    "NUL": f"{MISSING_ID[:-1]}\0",
    "a megabyte": MEGABYTE,
}

_ODD_TEXTS = {
    "one character": "x",
    "emoji of several code points": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "only a combining mark": "\u0301",
    "right to left": "\u05d0\u202eabc",
    "spaces around": "  x \t\u3000",
    "lines": "a\r\nb",
    "control characters": "\x01\x7f\x85x",
    "no character at all": "\U0010ffff",
    "quotes": "'\"; -- \\ % {} $1",
}
_BLANK_TEXTS = {
    "empty": "",
    "a space": " ",
    "tab and line ends": "\t\r\n",
    "Unicode spaces": "\u00a0\u2003\u3000\u2028",
}
_NO_TEXTS = ["", " ", "   "]
"""What PostgreSQL takes for blank."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A writable field.

    Attributes:
        resource: The name of the resource.
        name: The name of the field.
        required: Whether the field must not be empty.
        valid: Valid values, by a description.
        invalid: Invalid values, by a description. They include protobuf's default value for a required field only.
        rule: Whether a value is valid.
        unstorable: Values that the constraint of the column refuses. It accepts some values that the service refuses.
    """

    resource: str
    name: str
    required: bool = True
    valid: dict[str, Any]
    invalid: dict[str, Any]
    rule: Rule
    unstorable: list[Any]

    @property
    def path(self) -> str:
        """The path of the field in a request."""
        return f"{self.resource}.{self.name}"

    @property
    def valid_value(self) -> Any:
        """A valid value that is neither protobuf's default nor the value that tests/support/resources.py sets."""
        return next(value for value in self.valid.values() if value)

    @property
    def invalid_value(self) -> Any:
        """An invalid value that is not protobuf's default."""
        return next(value for value in self.invalid.values() if value)


def is_identifier(value: str) -> bool:
    """Whether a value is a UUID in lower case."""
    return re.fullmatch("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", value) is not None


def _is_measure(value: float) -> bool:
    return value > 0 and math.isfinite(value)


def _text_rule(limit: int, *, required: bool) -> Rule:
    return lambda value: len(value) <= limit and "\0" not in value and (bool(value.strip()) or not required)


def _text(resource: str, name: str, limit: int, *, required: bool = True) -> Field:
    full = {
        "the limit": "x" * limit,
        "the limit in characters of four bytes": EMOJI * limit,
        "the limit in combining marks": "e" + "\u0301" * (limit - 1),
        "the limit with spaces around": f" {'x' * (limit - 2)} ",
    }
    invalid = {
        "the limit + 1": "x" * (limit + 1),
        "the limit + 1 in characters of four bytes": EMOJI * (limit + 1),
        "the limit + 1 in combining marks": "e" + "\u0301" * limit,
        "the limit + 1 with a space": f"{'x' * limit} ",
        "NUL": "a\0b",
        "only NUL": "\0",
        "a megabyte": MEGABYTE,
        "a megabyte of spaces": " " * 1_000_000,
    }
    valid = _ODD_TEXTS | full
    if required:
        invalid |= _BLANK_TEXTS
    else:
        valid |= _BLANK_TEXTS
    rule, unstorable = _text_rule(limit, required=required), ["x" * (limit + 1), *(_NO_TEXTS if required else [])]
    return Field(
        resource=resource, name=name, required=required, valid=valid, invalid=invalid, rule=rule, unstorable=unstorable
    )


def _country_code() -> Field:
    invalid = {"lower case": "us", "mixed": "Us", "one": "U", "three": "USA", "a digit": "U1", "an umlaut": "\u00dcS"}
    invalid |= {
        "full width": "\uff35\uff33",
        "a line end": "US\n",
        "a space": " US",
        "NUL": "U\0",
        "a megabyte": MEGABYTE,
    }
    return Field(
        resource="location",
        name="country_code",
        valid={"assigned": "DE", "not assigned": "ZZ"},
        invalid=invalid | _BLANK_TEXTS,
        rule=lambda value: re.fullmatch("[A-Z]{2}", value) is not None,
        unstorable=["", "U", "us", "Us", "USA", "U1", " US", "US ", "US\n", "ÄÖ"],
    )


def _measure(name: str) -> Field:
    valid = {"a third": 1 / 3, "subnormal": 5e-324, "smallest normal": 2.2250738585072014e-308}
    valid |= {"largest": 1.7976931348623157e308, "no short decimal": 0.1 + 0.2}
    invalid = {"zero": 0.0, "minus zero": -0.0, "negative": -1.0, "negative subnormal": -5e-324}
    invalid |= {"NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf}
    unstorable = [0, -1, math.inf, -math.inf, math.nan]
    return Field(
        resource="sprocket_type", name=name, valid=valid, invalid=invalid, rule=_is_measure, unstorable=unstorable
    )


def _teeth() -> Field:
    invalid = {"zero": 0, "negative": -1, "the limit + 1": 10_001}
    invalid |= {"largest int32": 2**31 - 1, "smallest int32": -(2**31)}
    return Field(
        resource="sprocket_type",
        name="teeth",
        valid={"one": 1, "the limit": 10_000},
        invalid=invalid,
        rule=lambda value: 1 <= value <= 10_000,
        unstorable=[0, -1, 10_001],
    )


def _goal() -> Field:
    valid = {"zero": 0, "one": 1, "over 32 bits": 2**32, "not exact as a double": 2**53 + 1, "largest": 2**63 - 1}
    invalid = {"negative": -1, "smallest int32": -(2**31), "smallest int64": -(2**63)}
    return Field(
        resource="factory",
        name="sprocket_production_goal",
        required=False,
        valid=valid,
        invalid=invalid,
        rule=lambda value: value >= 0,
        unstorable=[-1],
    )


def _reference(resource: str, name: str) -> Field:
    return Field(resource=resource, name=name, valid={}, invalid=MALFORMED_IDS, rule=is_identifier, unstorable=[])


FIELDS = [
    _text("location", "display_name", 63),
    _text("location", "address", 200),
    _text("location", "address_2", 200, required=False),
    _text("location", "city", 100),
    _text("location", "administrative_area", 100, required=False),
    _text("location", "postal_code", 20),
    _country_code(),
    _text("sprocket_type", "display_name", 63),
    _teeth(),
    _measure("pitch_mm"),
    _measure("pitch_diameter_mm"),
    _measure("outside_diameter_mm"),
    _text("factory", "display_name", 63),
    _reference("factory", "location_id"),
    _goal(),
    _text("sprocket", "display_name", 63, required=False),
    _reference("sprocket", "sprocket_type_id"),
    _reference("sprocket", "factory_id"),
]

_SET_BY_SERVER: dict[str, dict[str, Any]] = {"factory": {"sprocket_production_actual": 77}}
"""The fields that clients cannot set, of those that not all resources have, with a value that they may send."""


def output_only(resource: str) -> dict[str, Any]:
    """Return the fields of a resource that clients cannot set, except the id, each with a value that they may send."""
    common = {"create_time": Timestamp(seconds=1), "update_time": Timestamp(seconds=2), "etag": '"mine"'}
    return common | _SET_BY_SERVER.get(resource, {})


def fields_of(resource: str) -> list[Field]:
    """Return the writable fields of a resource."""
    found = [field for field in FIELDS if field.resource == resource]
    assert found, f"FIELDS in tests/conformance/fields.py has no field of {resource}: add a line for each"
    return found
