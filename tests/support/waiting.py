"""Waits for events in other threads or processes."""

import time
from collections.abc import Callable

from sqlalchemy import make_url, text

from sprocket_grpc.storage.postgres.engine import create_plain_engine

PATIENCE_SECONDS = 60

_WAITING = text("""
    SELECT count(*) FROM pg_stat_activity WHERE datname = :database AND wait_event_type = 'Lock'
""")


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.01)


def wait_until_blocked(url: str, count: int) -> None:
    """Wait until `count` connections to a database wait for a lock."""
    with create_plain_engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        parameters = {"database": make_url(url).database}
        wait_until(lambda: connection.scalar(_WAITING, parameters) == count)
