"""The sample data: three locations, three sprocket types, and three factories with a history to draw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import uuid_utils
from sqlalchemy import Connection, Table, func, insert
from sqlalchemy.dialects import postgresql

from sprocket_grpc.storage.resource import Values
from sprocket_grpc.storage.tables import chart_entry, factory, location, sprocket, sprocket_type

_MICROS_PER_SECOND = 1_000_000
_ENTRY_SECONDS = 60


@dataclass(frozen=True)
class _History:
    """The history of a factory, one entry per minute.

    Attributes:
        start_seconds: The time of the first entry, in seconds since 1970.
        goal: The production goal of each minute.
        actual: The actual production of each minute; it goes down as well as up.
    """

    start_seconds: int
    goal: Sequence[int]
    actual: Sequence[int]

    @property
    def end_seconds(self) -> int:
        """The time of the last entry."""
        return self.start_seconds + _ENTRY_SECONDS * (len(self.goal) - 1)

    def ending(self, end: datetime) -> "_History":
        """Return the same history, moved so that it ends at a time, to the second."""
        return replace(self, start_seconds=self.start_seconds + int(end.timestamp()) - self.end_seconds)


_HISTORIES = [
    _History(1611194818, [32, 30, 31, 29, 32] * 4, [32, 29, 31, 30, 32] * 4),
    _History(
        1611204818,
        [31, 33, 29, 29, 32, 30, 30, 31, 29, 31, 31, 30, 28, 29, 32, 29, 30, 31, 28, 32],
        [32, 28, 31, 30, 30, 32, 29, 28, 30, 32, 32, 29, 31, 30, 31, 32, 29, 29, 33, 30],
    ),
    _History(
        1611304818,
        [31, 31, 29, 30, 32, 30, 30, 31, 29, 31, 30, 30, 28, 29, 32, 29, 31, 31, 28, 32],
        [32, 29, 31, 30, 30, 32, 29, 29, 30, 32, 32, 29, 31, 30, 30, 32, 29, 29, 33, 31],
    ),
]
_STREETS = ["123 Main St", "456 Elm St", "789 Oak St"]


def seed(connection: Connection, end: datetime | None = None) -> None:
    """Add the missing sample data, in the transaction of `connection`. Existing rows stay as they are.

    Args:
        connection: The connection.
        end: When the histories end. None means the times of the coding challenge, which are the same in every test.
    """
    for number, original in enumerate(_HISTORIES, start=1):
        history = original.ending(end) if end else original
        _add(connection, location, _location(number, history))
        _add(connection, sprocket_type, _sprocket_type(number, history))
        if _add(connection, factory, _factory(number, history)):
            connection.execute(insert(chart_entry), list(_entries(number, history)))
            connection.execute(insert(sprocket), list(_sprockets(number, history)))


def _add(connection: Connection, table: Table, values: Values) -> bool:
    statement = postgresql.insert(table).values(**values).on_conflict_do_nothing().returning(table.c.id)
    return connection.execute(statement).first() is not None


def _id(kind: int, number: int) -> str:
    """Make an id that is always the same, of version 7 and older than all that the service makes."""
    milliseconds = _HISTORIES[number - 1].start_seconds * 1000
    digits = f"{milliseconds:012x}7{kind:03x}8{number:015x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _since(seconds: int) -> Values:
    time = func.to_timestamp(seconds)
    return {"create_time": time, "update_time": time}


def _location(number: int, history: _History) -> Values:
    return {
        "id": _id(1, number),
        "display_name": f"Springfield {number}",
        "address": _STREETS[number - 1],
        "address_2": "",
        "city": "Springfield",
        "administrative_area": "IL",
        "postal_code": f"6270{number}",
        "country_code": "US",
        **_since(history.start_seconds),
    }


def _sprocket_type(number: int, history: _History) -> Values:
    return {
        "id": _id(2, number),
        "display_name": f"Sprocket type {number}",
        "teeth": 5,
        "pitch_mm": 1,
        "pitch_diameter_mm": 5,
        "outside_diameter_mm": 6,
        **_since(history.start_seconds),
    }


def _factory(number: int, history: _History) -> Values:
    return {
        "id": _id(3, number),
        "display_name": f"Factory {number}",
        "location_id": _id(1, number),
        "sprocket_production_goal": history.goal[-1],
        "sprocket_production_actual": history.actual[-1],
        "chart_sequence": len(history.actual),
        "chart_time_micros": history.end_seconds * _MICROS_PER_SECOND,
        **_since(history.start_seconds),
    }


def _entries(number: int, history: _History) -> Iterator[Values]:
    for index, (goal, actual) in enumerate(zip(history.goal, history.actual, strict=True)):
        yield {
            "factory_id": _id(3, number),
            "sequence": index + 1,
            "time_micros": (history.start_seconds + _ENTRY_SECONDS * index) * _MICROS_PER_SECOND,
            "sprocket_production_goal": goal,
            "sprocket_production_actual": actual,
        }


def _sprockets(number: int, history: _History) -> Iterator[Values]:
    """Add as many sprockets as the last entry says, so that chart, counter and rows agree."""
    for index in range(history.actual[-1]):
        yield {
            "id": str(uuid_utils.uuid7()),
            "display_name": f"Sprocket {number}-{index + 1}",
            "sprocket_type_id": _id(2, number),
            "factory_id": _id(3, number),
        }
