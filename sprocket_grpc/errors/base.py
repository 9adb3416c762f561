"""What all errors have in common."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Violation:
    """A violation in a request.

    Attributes:
        field: The path of the field in the request, such as `location.display_name`.
        description: What is wrong with the field, and what is accepted.
        variable: A value in the description that is from the request, such as an id. Programs find it in the metadata.
    """

    field: str
    description: str
    variable: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


class SprocketError(Exception):
    """An error that is returned to the caller.

    Attributes:
        reason: The name of a value of `sprocket.v1.ErrorReason`.
        metadata: Every variable part of the text, for programs (AIP-193).
    """

    reason: ClassVar[str]

    def __init__(self, message: str, metadata: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.metadata = metadata or {}


class ExpectedError(Exception):
    """Ends a command with status 1. The text is printed and says what to do."""
