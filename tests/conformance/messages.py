"""Copies of messages with some fields changed."""

from typing import Any

SET_BY_UPDATES = ["update_time", "etag"]
"""The fields that every update sets."""


def without(message: Any, names: list[str]) -> Any:
    """Return a copy without some fields."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name in names:
        copy.ClearField(name)
    return copy


def with_values(message: Any, values: dict[str, Any]) -> Any:
    """Return a copy with some fields set, and without the fields that every update sets."""
    copy = without(message, SET_BY_UPDATES)
    for name, value in values.items():
        setattr(copy, name, value)
    return copy
