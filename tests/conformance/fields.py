"""Valid and invalid values of every writable field, from the comments of the protos."""

import math
from dataclasses import dataclass
from typing import Any

from tests.support.resources import MISSING_ID

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


@dataclass(frozen=True, kw_only=True)
class Field:
    """A writable field.

    Attributes:
        resource: The name of the resource.
        name: The name of the field.
        required: Whether the field must not be empty.
        valid: Valid values, by a description.
        invalid: Invalid values, by a description. They include protobuf's default value for a required field only.
    """

    resource: str
    name: str
    required: bool = True
    valid: dict[str, Any]
    invalid: dict[str, Any]

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
    return Field(resource=resource, name=name, required=required, valid=valid, invalid=invalid)


def _country_code() -> Field:
    invalid = {"lower case": "us", "mixed": "Us", "one": "U", "three": "USA", "a digit": "U1", "an umlaut": "\u00dcS"}
    invalid |= {
        "full width": "\uff35\uff33",
        "a line end": "US\n",
        "a space": " US",
        "NUL": "U\0",
        "a megabyte": MEGABYTE,
    }
    valid = {"assigned": "DE", "not assigned": "ZZ"}
    return Field(resource="location", name="country_code", valid=valid, invalid=invalid | _BLANK_TEXTS)


def _measure(name: str) -> Field:
    valid = {"a third": 1 / 3, "subnormal": 5e-324, "smallest normal": 2.2250738585072014e-308}
    valid |= {"largest": 1.7976931348623157e308, "no short decimal": 0.1 + 0.2}
    invalid = {"zero": 0.0, "minus zero": -0.0, "negative": -1.0, "negative subnormal": -5e-324}
    invalid |= {"NaN": math.nan, "infinity": math.inf, "minus infinity": -math.inf}
    return Field(resource="sprocket_type", name=name, valid=valid, invalid=invalid)


def _teeth() -> Field:
    invalid = {"zero": 0, "negative": -1, "the limit + 1": 10_001}
    invalid |= {"largest int32": 2**31 - 1, "smallest int32": -(2**31)}
    return Field(resource="sprocket_type", name="teeth", valid={"one": 1, "the limit": 10_000}, invalid=invalid)


def _goal() -> Field:
    valid = {"zero": 0, "one": 1, "over 32 bits": 2**32, "not exact as a double": 2**53 + 1, "largest": 2**63 - 1}
    invalid = {"negative": -1, "smallest int32": -(2**31), "smallest int64": -(2**63)}
    return Field(resource="factory", name="sprocket_production_goal", required=False, valid=valid, invalid=invalid)


def _reference(resource: str, name: str) -> Field:
    return Field(resource=resource, name=name, valid={}, invalid=MALFORMED_IDS)


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

_COMMON = ["create_time", "update_time", "etag"]

OUTPUT_ONLY = {
    "location": _COMMON,
    "sprocket_type": _COMMON,
    "factory": [*_COMMON, "sprocket_production_actual"],
    "sprocket": _COMMON,
}
"""The fields of each resource that clients cannot set, except the id."""


def fields_of(resource: str) -> list[Field]:
    """Return the writable fields of a resource."""
    return [field for field in FIELDS if field.resource == resource]
