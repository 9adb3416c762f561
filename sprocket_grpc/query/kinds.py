"""The kinds of fields that can be filtered and ordered by."""

from enum import Enum, auto


class Kind(Enum):
    """What a field holds, which decides how the text of a value is read and what its operators mean."""

    TEXT = auto()
    """Any text."""

    INTEGER = auto()
    """A whole number of up to 64 bits."""

    NUMBER = auto()
    """A floating-point number of 64 bits."""

    TIME = auto()
    """A point in time, to the microsecond."""

    IDENTIFIER = auto()
    """A UUID."""
