"""Waits for what tells nobody when it happens: each wait ends, and says what it has waited for."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

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
        if time.monotonic() > deadline:
            raise AssertionError(_too_late(condition, seconds))
        time.sleep(0.01)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds, which may be asked by a coroutine; fail after `seconds`."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            while not await _holds(condition):  # noqa: ASYNC110  # there is no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        if not limit.expired():
            raise  # of the condition
        raise AssertionError(_too_late(condition, seconds)) from None


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    holds = condition()
    return holds if isinstance(holds, bool) else await holds


def _too_late(condition: Callable[[], object], seconds: float) -> str:
    function = getattr(condition, "func", condition)  # of a partial
    return f"did not happen within {seconds} s: {inspect.getsource(function).strip()}"


def wait_until_blocked(url: str, count: int) -> None:
    """Wait until `count` connections to a database wait for a lock."""
    with create_plain_engine(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        parameters = {"database": make_url(url).database}
        wait_until(lambda: connection.scalar(_WAITING, parameters) == count)
