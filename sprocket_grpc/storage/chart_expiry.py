"""The SQL that lets the oldest entries of charts expire: a function of the owner, which migration 0011 explains."""

from collections.abc import Sequence

from sqlalchemy import Integer, bindparam, func, select, text

from sprocket_grpc.storage.chart_pages import SCANNED_FACTORIES, Scan
from sprocket_grpc.storage.postgres.connection import Connection
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier
from sprocket_grpc.storage.tables import chart_start

BATCH_ENTRIES = 5_000
"""The most entries of a chart that expire in one transaction."""

# The first entry stays until the second one is old enough, because it is in force until then. In a page, the second
# one is at least as old as the first one of the page: the function looks closer.
_SCAN = Statement(
    text("""
    WITH scanned AS (
        SELECT id, coalesce(first_sequence, 1) AS start
        FROM factory LEFT JOIN chart_start ON factory_id = id
        WHERE id > :after ORDER BY id LIMIT :most
    )
    SELECT ARRAY(
               SELECT id::text FROM scanned
               WHERE CAST(date_part('epoch', now()) * 1000000 AS bigint) - 86400000000 * :days >= coalesce(
                   (SELECT time_micros FROM chart_entry WHERE factory_id = id AND sequence = start + 1),
                   (SELECT first_time_micros FROM chart_page
                    WHERE factory_id = id AND last_sequence > start ORDER BY last_sequence LIMIT 1))
               ORDER BY id
           ),
           (SELECT id::text FROM scanned ORDER BY id DESC LIMIT 1)
""").bindparams(
        bindparam("after", type_=Identifier()), bindparam("most", type_=Integer), bindparam("days", type_=Integer)
    )
)


def scan(after: str, keep_days: int) -> Read[Scan]:
    """Look for charts with entries that are older than `keep_days`, among the next factories behind an id."""
    parameters = {"after": after, "most": SCANNED_FACTORIES, "days": keep_days}
    return Read(_SCAN, parameters, lambda rows: Scan(*rows[0]))


_EXPIRE = Statement(
    select(
        func.expire_chart(
            bindparam("id", type_=Identifier()), bindparam("days", type_=Integer), bindparam("most", type_=Integer)
        )
    )
)


def expire(connection: Connection, factory_id: str, keep_days: int) -> int:
    """Delete the oldest entries of a chart, in one statement, and return how many are not kept any more.

    The entry that was in force `keep_days` ago stays, and all later ones. An entry that is not kept is deleted with the
    last one of its page.

    Raises:
        DatabaseMisconfiguredError: The owner keeps entries for longer, or for ever, or a server of an older version may
            run.
        AbortedError: Another server packs or deletes entries; nothing has changed.
    """
    parameters = {"id": factory_id, "days": keep_days, "most": BATCH_ENTRIES}
    return int(connection.scalar(_EXPIRE, parameters))


_STARTS = Statement(
    select(chart_start.c.factory_id, chart_start.c.first_sequence).where(
        chart_start.c.factory_id == func.any(bindparam("ids", type_=IDENTIFIERS))
    )
)


def read_starts(factory_ids: Sequence[str]) -> Read[dict[str, int]]:
    """Read the sequence of the first entry that is kept of each chart from which entries have expired."""
    return Read(_STARTS, {"ids": list(factory_ids)}, dict)
