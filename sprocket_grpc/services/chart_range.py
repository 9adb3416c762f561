"""What part of which charts a request asks for, and what is wrong with that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from sprocket_grpc.errors import Violation
from sprocket_grpc.services.validation import batch_violations, id_violations
from sprocket_grpc.store.chart_reading import ENTRIES_OF_PART, Place

MOST_POINTS = 20_000

# The years 1 to 9999 (google/protobuf/timestamp.proto).
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS_PER_SECOND = 1_000_000_000

BEGINNING_OF_TIME_MICROS = _FIRST_SECOND * 1_000_000


@dataclass(frozen=True)
class ChartRange:
    """What part of which charts.

    Attributes:
        factory_ids: Whose charts.
        start_micros: From which time on, in microseconds since 1970; None for the beginning.
        end_micros: Before which time; None for no end.
        max_points: How many entries of each to send at most; 0 for all.
        places: What was sent before, of some of the factories.
    """

    factory_ids: Sequence[str]
    start_micros: int | None = None
    end_micros: int | None = None
    max_points: int = 0
    places: Mapping[str, Place] = field(default_factory=dict)


def micros(time: Timestamp) -> int:
    """Turn a time into microseconds since 1970, rounded up: entries are not before it if they are not before that."""
    return time.seconds * 1_000_000 - (-time.nanos // 1000)


def time_violations(name: str, time: Timestamp) -> list[Violation]:
    """Return what is wrong with a time."""
    if _FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < _NANOS_PER_SECOND:
        return []
    return [Violation(name, "must be a time in the years 1 to 9999, with 0 to 999,999,999 nanos")]


def max_points_violations(value: int) -> list[Violation]:
    """Return what is wrong with the size of a summary."""
    if value == 0 or ENTRIES_OF_PART <= value <= MOST_POINTS:
        return []
    return [Violation("max_points", f"must be 0 for all entries, or {ENTRIES_OF_PART} to {MOST_POINTS:,}")]


def factory_ids_violations(values: Sequence[str]) -> list[Violation]:
    """Return what is wrong with the ids of factories to follow together."""
    if wrong := batch_violations("factory_ids", values):
        return wrong
    first = {value: index for index, value in reversed(list(enumerate(values)))}
    return [
        violation
        for index, value in enumerate(values)
        for violation in id_violations(f"factory_ids[{index}]", value) or _repeated(index, first[value])
    ]


def _repeated(index: int, first: int) -> list[Violation]:
    return [] if index == first else [Violation(f"factory_ids[{index}]", f"is the same as factory_ids[{first}]")]
