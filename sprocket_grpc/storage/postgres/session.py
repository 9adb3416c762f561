"""What each of our connections sets, so that a setting of its role, its database or its environment changes nothing.

Not set here, for these are the operator's: `search_path`, which says where the tables are; limits such as
`statement_timeout` and `lock_timeout`; `default_transaction_read_only`, which fences a primary; and what tunes plans,
memory or durability.
"""

from typing import Any

from psycopg import BaseConnection

from sprocket_grpc.errors import ExpectedError

CONNECT_ARGUMENTS: dict[str, object] = {"client_encoding": "utf8"}
"""Parameters to connect with. Poolers in transaction mode keep this one for each client."""

ISOLATION_LEVEL = "READ COMMITTED"
"""Each BEGIN names it, because a pooler in transaction mode keeps no default for each client."""

_SETTINGS = {
    "default_transaction_isolation": ISOLATION_LEVEL.lower(),
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "array_nulls": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "idle_session_timeout": "0",  # the pool keeps connections for as long as it likes
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}

_ENCODING = "UTF8"


class DatabaseEncodingError(ExpectedError):
    """The database has an encoding that cannot hold every text."""

    def __init__(self, encoding: str | None) -> None:
        super().__init__(f"the database has the encoding {encoding}: create it with ENCODING '{_ENCODING}'")


def setup_query(**more: str) -> str:
    """Return the query that sets our settings and `more` of them."""
    pairs = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in (_SETTINGS | more).items())
    return f"SELECT {pairs}"


def check_encoding(driver: BaseConnection[Any]) -> None:
    """Check that the database can hold every text.

    Raises:
        DatabaseEncodingError: Its encoding is not UTF8.
    """
    encoding = driver.info.parameter_status("server_encoding")
    if encoding not in (_ENCODING, None):  # None: a pooler does not tell
        raise DatabaseEncodingError(encoding)
