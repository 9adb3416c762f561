"""The expression of a checked filter: every field is known, and every value has the kind of its field."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Value: TypeAlias = str | int | float
"""`str` for text and ids, `int` for whole numbers and times in microseconds since 1970, `float` for other numbers."""


class Operator(Enum):
    """The operator of a comparison. Text is compared by code points. Only HAS ignores case."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="

    HAS = "has"
    """The text contains the value, ignoring case by the rules of `case_folding`."""

    STARTS_WITH = "starts with"
    ENDS_WITH = "ends with"
    CONTAINS = "contains"

    PRESENT = "is present"
    """The text is not empty. The value is ignored."""


@dataclass(frozen=True)
class Comparison:
    """True if the field compares to the value. HAS and the operators after it apply only to text."""

    field: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Not:
    """True if the operand is false."""

    operand: "Expression"


@dataclass(frozen=True)
class And:
    """True if all operands, two or more, are true."""

    operands: tuple["Expression", ...]


@dataclass(frozen=True)
class Or:
    """True if at least one operand of two or more is true."""

    operands: tuple["Expression", ...]


Expression: TypeAlias = And | Or | Not | Comparison
