"""The SQL of the pages of charts: entries that are old enough are kept as the messages that streams send.

A page has entries of consecutive sequences as one serialized `FactoryChart`: a tenth of what rows take, and streams
send it as it is. Pages have the oldest entries of a chart without gaps, and rows have the others. Neither ever changes;
`pack_chart` of the database turns rows into a page in one transaction (migration 0010). So a statement that reads both
finds each entry once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Integer, bindparam, column, func, select, text
from sqlalchemy import Connection as PlainConnection
from sqlalchemy.dialects.postgresql import insert

from sprocket_grpc.errors import NotFoundError
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier
from sprocket_grpc.storage.tables import chart_expiry, chart_packing, chart_page, chart_start, factory

PAGE_ENTRIES = 2_000
"""The entries of a page. 5,000 entries from any time are then in 22 buffers of PostgreSQL, as with larger pages; with
1,000 to a page, in 37. The smaller pages are, the fewer entries are rows."""

LARGEST_PAGE = 5_000
"""The most entries of any page, by a constraint of the table: reads find the last page of a range by it. Earlier
versions made such pages."""

KEPT_ENTRIES = 500
"""The newest entries of a chart, which stay rows: followers read them, and pages would be decoded for them."""

SCANNED_FACTORIES = 1_000
"""The factories that a scan looks at, at a time."""

NIL_ID = "00000000-0000-0000-0000-000000000000"
"""Before the ids of all factories."""


NUMBERS = ARRAY(BigInteger)


class Page(NamedTuple):
    """A page of a chart.

    Attributes:
        factory_id: The factory.
        first_sequence: The sequence of its first entry.
        last_sequence: The sequence of its last entry.
        checksum: The CRC-32C of `wire`.
        wire: Its entries as a serialized FactoryChart.
    """

    factory_id: str
    first_sequence: int
    last_sequence: int
    checksum: int
    wire: bytes

    @property
    def entries(self) -> int:
        """The number of its entries."""
        return self.last_sequence - self.first_sequence + 1


class StoredPage(NamedTuple):
    """A page with what is stored beside it, for searches and summaries.

    Attributes:
        page: The page.
        first_time_micros: The time of its first entry, in microseconds since 1970.
        last_time_micros: The time of its last entry, likewise.
        outline: The first and the last entry, and those with the least and the greatest goal and actual, the earliest
            of each: sequence, time, goal and actual.
        chart_start: The sequence of the first entry of the chart that is kept.
    """

    page: Page
    first_time_micros: int
    last_time_micros: int
    outline: Sequence[Sequence[int]]
    chart_start: int


class PageKey(NamedTuple):
    """Where a page is: the chart, and the sequence of its last entry."""

    factory_id: str
    last_sequence: int


_KEYS = (
    func.unnest(bindparam("ids", type_=IDENTIFIERS), bindparam("sequences", type_=NUMBERS))
    .table_valued(column("id", Identifier), column("last", BigInteger), with_ordinality="number")
    .render_derived("keys")
)
_PAGE_COLUMNS = (
    chart_page.c.factory_id,
    chart_page.c.first_sequence,
    chart_page.c.last_sequence,
    chart_page.c.checksum,
    chart_page.c.wire,
)
_READ_PAGES = Statement(
    select(*_PAGE_COLUMNS)
    .join(_KEYS, (chart_page.c.factory_id == _KEYS.c.id) & (chart_page.c.last_sequence == _KEYS.c.last))
    .order_by(_KEYS.c.number)
)


def read_pages(keys: Sequence[PageKey], *, is_expensive: bool = False) -> Read[list[Page]]:
    """Read pages that were found before, in the order of their keys; perhaps in the lane of expensive work.

    Raises:
        NotFoundError: Some are missing: factories were deleted meanwhile.
    """
    ids, sequences = zip(*keys, strict=True)

    def pages(rows: Sequence[tuple[Any, ...]]) -> list[Page]:
        found = [Page(*row) for row in rows]
        if len(found) != len(keys):
            raise NotFoundError(factory.name, *{*ids} - {each.factory_id for each in found})
        return found

    return Read(_READ_PAGES, {"ids": list(ids), "sequences": list(sequences)}, pages, is_expensive=is_expensive)


_PAGES_AFTER = Statement(
    select(
        *_PAGE_COLUMNS,
        chart_page.c.first_time_micros,
        chart_page.c.last_time_micros,
        chart_page.c.outline,
        func.coalesce(chart_start.c.first_sequence, 1),
    )
    .outerjoin(chart_start, chart_start.c.factory_id == chart_page.c.factory_id)
    .where(
        func.row(chart_page.c.factory_id, chart_page.c.last_sequence)
        > func.row(bindparam("id", type_=Identifier()), bindparam("sequence", type_=BigInteger))
    )
    .order_by(chart_page.c.factory_id, chart_page.c.last_sequence)
    .limit(bindparam("most", type_=Integer))
)


def read_pages_after(key: PageKey, most: int) -> Read[list[StoredPage]]:
    """Read the next pages of all charts, in the order of their keys."""
    parameters = {"id": key.factory_id, "sequence": key.last_sequence, "most": most}
    return Read(_PAGES_AFTER, parameters, lambda rows: [StoredPage(Page(*row[:5]), *row[5:]) for row in rows])


class Scan(NamedTuple):
    """What a scan of factories found.

    Attributes:
        factory_ids: Those whose charts have something to do.
        last_id: The last factory that it looked at; None if there were no more.
    """

    factory_ids: Sequence[str]
    last_id: str | None


_SCAN = Statement(
    text("""
    WITH scanned AS (
        SELECT id, chart_sequence - coalesce(
            (SELECT max(last_sequence) FROM chart_page WHERE factory_id = factory.id),
            (SELECT first_sequence - 1 FROM chart_start WHERE factory_id = factory.id), 0) AS unpacked
        FROM factory WHERE id > :after ORDER BY id LIMIT :most
    )
    SELECT ARRAY(
               SELECT id::text FROM scanned
               WHERE unpacked >= :least AND EXISTS (SELECT FROM chart_packing) ORDER BY id
           ),
           (SELECT id::text FROM scanned ORDER BY id DESC LIMIT 1)
""").bindparams(
        bindparam("after", type_=Identifier()), bindparam("most", type_=Integer), bindparam("least", type_=BigInteger)
    )
)


def scan(after: str) -> Read[Scan]:
    """Look for charts with rows to pack, among the next factories behind an id."""
    parameters = {"after": after, "most": SCANNED_FACTORIES, "least": PAGE_ENTRIES + KEPT_ENTRIES}
    return Read(_SCAN, parameters, lambda rows: Scan(*rows[0]))


_PACK = Statement(
    select(
        func.pack_chart(
            bindparam("id", type_=Identifier()), bindparam("entries", type_=Integer), bindparam("kept", type_=Integer)
        )
    )
)


def pack(connection: Connection, factory_id: str) -> bool:
    """Turn the oldest rows of a chart into a page, in one statement, and return whether that was done.

    It is not if the chart has too few rows, if it is deleted or another packer works at the moment, or if packing is
    not enabled.
    """
    parameters = {"id": factory_id, "entries": PAGE_ENTRIES, "kept": KEPT_ENTRIES}
    return bool(connection.scalar(_PACK, parameters))


_UNPACKED = Statement(
    text("""
    SELECT CAST(coalesce(sum(greatest(chart_sequence - :kept - coalesce(
        (SELECT max(last_sequence) FROM chart_page WHERE factory_id = factory.id),
        (SELECT first_sequence - 1 FROM chart_start WHERE factory_id = factory.id), 0), 0) / :entries), 0) AS bigint)
    FROM factory
""").bindparams(bindparam("kept", type_=BigInteger), bindparam("entries", type_=BigInteger))
)


def read_unpacked() -> Read[int]:
    """Read how many pages the rows of all charts would make. It looks at all factories."""
    return Read(_UNPACKED, {"entries": PAGE_ENTRIES, "kept": KEPT_ENTRIES}, lambda rows: int(rows[0][0]))


IS_ENABLED: Read[bool] = Read(select(chart_packing.c.id), {}, bool)
"""Reads whether charts may have pages, because all servers can read them."""


def enable_packing(connection: PlainConnection) -> None:
    """Record that all servers can read pages, and charts that have begun to expire. Needs the owner of the tables."""
    for table in (chart_packing, chart_expiry):
        connection.execute(insert(table).values(id=1).on_conflict_do_nothing())
