"""The range of charts that a request asks for, and its violations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from sprocket_grpc.errors import Violation
from sprocket_grpc.services.standard.validation import batch_violations, id_violations
from sprocket_grpc.storage.chart_reads import Position
from sprocket_grpc.storage.chart_summary import ENTRIES_OF_PART

MOST_POINTS = 20_000

# The years 1 to 9999 (google/protobuf/timestamp.proto).
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_NANOS_PER_SECOND = 1_000_000_000
NANOS_PER_MICRO = 1_000

BEGINNING_OF_TIME_MICROS = _FIRST_SECOND * 1_000_000


@dataclass(frozen=True)
class ChartRange:
    """A range of charts.

    Attributes:
        factory_ids: The factories.
        start: The first time, in nanoseconds since 1970; None for the beginning.
        end: The first time after the range, likewise; None for no end.
        max_points: The most entries to send of each chart; 0 for all.
        positions: The positions that were sent before, by `factory_id`.
    """

    factory_ids: Sequence[str]
    start: int | None = None
    end: int | None = None
    max_points: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)


def nanos(time: Timestamp) -> int:
    """Convert a time to nanoseconds since 1970."""
    return time.seconds * _NANOS_PER_SECOND + time.nanos


def next_micro(time_nanos: int) -> int:
    """Return the first microsecond at or after a time: entries have whole microseconds, so the comparison is exact."""
    return -(-time_nanos // NANOS_PER_MICRO)


def time_violations(name: str, time: Timestamp) -> list[Violation]:
    """Return the violations of a time."""
    if _FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < _NANOS_PER_SECOND:
        return []
    return [Violation(name, "must be a time in the years 1 to 9999, with 0 to 999,999,999 nanos")]


def max_points_violations(value: int) -> list[Violation]:
    """Return the violations of `max_points`."""
    if value == 0 or ENTRIES_OF_PART <= value <= MOST_POINTS:
        return []
    return [Violation("max_points", f"must be 0 for all entries, or {ENTRIES_OF_PART} to {MOST_POINTS:,}")]


def factory_ids_violations(values: Sequence[str]) -> list[Violation]:
    """Return the violations of the ids of factories to follow together."""
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
