"""A filter after all checks: every field is known, and every value is of its field's kind."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Value: TypeAlias = str | int | float
"""Text and ids as `str`, whole numbers as `int`, other numbers as `float`, times as microseconds since 1970."""


class Operator(Enum):
    """How a field is compared. Text is compared by code points, and apart from HAS with its case."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="

    HAS = "has"
    """The text has the value somewhere in it, upper or lower case."""

    STARTS_WITH = "starts with"
    ENDS_WITH = "ends with"
    CONTAINS = "contains"

    PRESENT = "is present"
    """The text is not empty. The value says nothing."""


@dataclass(frozen=True)
class Comparison:
    """True for what has such a value in a field. HAS and what follows it are for text only."""

    field: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Not:
    """True for what the operand is false for."""

    operand: "Expression"


@dataclass(frozen=True)
class And:
    """True for what all operands, two or more, are true for."""

    operands: tuple["Expression", ...]


@dataclass(frozen=True)
class Or:
    """True for what at least one of the operands, two or more, is true for."""

    operands: tuple["Expression", ...]


Expression: TypeAlias = And | Or | Not | Comparison
