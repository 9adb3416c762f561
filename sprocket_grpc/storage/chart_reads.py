"""The SQL that reads where charts begin and end, and which of their entries are in a range of time.

Statements with recursion or lateral joins are text, which is easier to read. Sequences are gapless and times never go
backwards (see `chart_writes`), so the entries of a range are those between two sequences, and how many they are is
known without counting. `chart_chunks` reads them.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, bindparam, column, func, select, text

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.storage.chart_pages import NUMBERS
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier, epoch_micros
from sprocket_grpc.storage.tables import factory


class Position(NamedTuple):
    """A position in the chart of one factory: after one of its entries.

    Attributes:
        created_micros: When the factory was created. Another one that was created later with the same id has another
            chart.
        sequence: The sequence of the entry, or 0 for the beginning.
    """

    created_micros: int
    sequence: int


class Found(NamedTuple):
    """The first entry of a chart at or after a time.

    Attributes:
        sequence: Its sequence, or that of the next entry if the chart ends before the time.
        is_exact: Whether it was added exactly at the time.
        page: The last sequence of the page that has it, if that page must be read to know the other two. They are of
            the first entry of that page then.
    """

    sequence: int
    is_exact: bool
    page: int | None = None


class Start(NamedTuple):
    """Where a chart begins.

    Attributes:
        sequence: The sequence of the first entry that is kept.
        micros: The time of this entry, in microseconds since 1970, if older entries have expired.
    """

    sequence: int
    micros: int | None


class Extent(NamedTuple):
    """The state of a chart at one moment.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        packed: The sequence of its last entry in a page; 0 without pages.
        found: The first entry at or after each of the times. It may be before the start, if it was stored in a page
            with entries that are kept.
    """

    start: Start
    end: Position
    packed: int
    found: list[Found]


# The page that has the first entry at or after a time is a lookup in an index. If there is none, a binary search among
# the rows, some twenty lookups in the primary key: an index of rows by time would slow down every write. One statement,
# so that the times and the end are of the same state of the chart.
_EXTENTS = text("""
    WITH RECURSIVE asked AS (
        SELECT id AS factory_id, create_time, coalesce(chart_start.first_sequence, 1) AS start,
               chart_start.first_time_micros AS start_micros, chart_sequence,
               (SELECT max(last_sequence) FROM chart_page WHERE factory_id = id) AS packed
        FROM factory LEFT JOIN chart_start ON factory_id = id WHERE id = ANY (:ids)
    ), sought AS (
        SELECT asked.*, number, time, first_sequence, first_time_micros, last_sequence
        FROM asked CROSS JOIN unnest(:times) WITH ORDINALITY AS times (time, number)
        LEFT JOIN LATERAL (
            SELECT first_sequence, first_time_micros, last_sequence FROM chart_page
            WHERE factory_id = asked.factory_id AND last_time_micros >= time
            ORDER BY last_time_micros, last_sequence LIMIT 1
        ) AS page ON true
    ), bracket (factory_id, number, time, low, high) AS (
        SELECT factory_id, number, time, coalesce(packed + 1, start), chart_sequence + 1
        FROM sought WHERE last_sequence IS NULL
      UNION ALL
        SELECT factory_id, number, time,
               CASE WHEN time_micros < time THEN middle + 1 ELSE low END,
               CASE WHEN time_micros < time THEN high ELSE middle END
        FROM (SELECT *, (low + high) / 2 AS middle FROM bracket WHERE low < high) AS halved
        JOIN chart_entry USING (factory_id)
        WHERE sequence = middle
    ), found (factory_id, number, sequence, is_exact, page) AS (
        SELECT factory_id, number, first_sequence, first_time_micros = time,
               CASE WHEN first_time_micros < time THEN last_sequence END
        FROM sought WHERE last_sequence IS NOT NULL
      UNION ALL
        SELECT bracket.factory_id, number, low, coalesce(time_micros = time, false), NULL
        FROM bracket
        LEFT JOIN chart_entry ON chart_entry.factory_id = bracket.factory_id AND sequence = low
        WHERE low = high
    )
    SELECT asked.factory_id::text, start, start_micros, CAST(date_part('epoch', create_time) * 1000000 AS bigint),
           chart_sequence, coalesce(packed, 0), sequence, is_exact, page
    FROM asked LEFT JOIN found ON found.factory_id = asked.factory_id
    ORDER BY number
""").bindparams(bindparam("ids", type_=IDENTIFIERS), bindparam("times", type_=NUMBERS))


def read_extents(factory_ids: Collection[str], times: Sequence[int]) -> Read[Mapping[str, Extent]]:
    """Read where each chart begins and ends, and its first entries at or after times, in microseconds since 1970.

    Raises:
        NotFoundError: Some of the factories do not exist.
    """
    return Read(_EXTENTS, {"ids": list(factory_ids), "times": list(times)}, partial(_extents, factory_ids))


def _extents(factory_ids: Collection[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Extent]:
    extents: dict[str, Extent] = {}
    for factory_id, first, micros, created, end, packed, *found in rows:
        extent = extents.setdefault(factory_id, Extent(Start(first, micros), Position(created, end), packed, []))
        if found[0] is not None:
            extent.found.append(Found(*found))
    if missing := [each for each in factory_ids if each not in extents]:
        raise NotFoundError(factory.name, *missing)
    return extents


_KNOWN = (
    func.unnest(
        bindparam("ids", type_=IDENTIFIERS),
        bindparam("created", type_=NUMBERS),
        bindparam("sequences", type_=NUMBERS),
    )
    .table_valued(column("id", Identifier), column("created", BigInteger), column("sequence", BigInteger))
    .render_derived("known")
)
_MOVED = (
    select(_KNOWN.c.id, factory.c.create_time, factory.c.chart_sequence)
    .select_from(_KNOWN.outerjoin(factory, factory.c.id == _KNOWN.c.id))
    .where(
        factory.c.chart_sequence.is_distinct_from(_KNOWN.c.sequence)
        | (epoch_micros(factory.c.create_time) != _KNOWN.c.created)
    )
)


_READ_MOVED = Statement(_MOVED)


def read_moved(known: Mapping[str, Position]) -> Read[dict[str, Position | None]]:
    """Read the ends of charts that differ from the known positions; None if the factory was deleted."""
    created, sequences = zip(*known.values(), strict=True)
    parameters = {"ids": list(known), "created": list(created), "sequences": list(sequences)}
    return Read(_READ_MOVED, parameters, _ends)


def _ends(rows: Sequence[tuple[Any, ...]]) -> dict[str, Position | None]:
    return {each: None if created is None else Position(created, sequence) for each, created, sequence in rows}
