"""Connects to the one of several hosts that serves, without waiting for one that hangs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import psycopg

_HEAD_START_SECONDS = 0.5
"""The time that the first host has alone: it is the one that was reached last, and almost always right."""

_AGAIN_SECONDS = 0.5
"""How often a host that refused is tried again, while another one does not answer."""

Driver: TypeAlias = psycopg.AsyncConnection[Any]
Connect: TypeAlias = Callable[[], Awaitable[Driver]]


async def connect_to_one_of(hosts: Sequence[Connect]) -> Driver:
    """Return a connection to the first host, or else to the one of all hosts that accepts one first.

    libpq tries the hosts in turn, and so waits the whole connect timeout for one that hangs. Meanwhile a standby may be
    promoted, so hosts that have refused are tried again as long as another one does not answer.

    Args:
        hosts: How to connect to each, at least one.

    Raises:
        psycopg.OperationalError: All hosts have refused, or have not answered.
    """
    if len(hosts) == 1:
        return await hosts[0]()
    with suppress(psycopg.OperationalError, TimeoutError):
        async with asyncio.timeout(_HEAD_START_SECONDS):
            return await hosts[0]()
    return await _first_of(hosts)


async def _first_of(hosts: Sequence[Connect]) -> Driver:
    silent = set(hosts)
    tasks = [asyncio.ensure_future(_connect(host, silent)) for host in hosts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        _close(await _ended(tasks))
        raise
    ends = await _ended(tasks)
    if not (opened := _opened(ends)):
        raise next(end for end in ends if isinstance(end, Exception))
    _close(opened[1:])
    return opened[0]


async def _connect(host: Connect, silent: set[Connect]) -> Driver:
    """Connect to a host, again and again while another one is silent."""
    while True:
        try:
            return await host()
        except psycopg.OperationalError:
            silent.discard(host)
            if not silent:
                raise
        await asyncio.sleep(_AGAIN_SECONDS)


async def _ended(tasks: Sequence[asyncio.Future[Driver]]) -> list[Driver | BaseException]:
    """Cancel the tasks that have not ended, and return how each ended."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def _opened(ends: Sequence[Driver | BaseException]) -> list[Driver]:
    return [end for end in ends if isinstance(end, psycopg.AsyncConnection)]


def _close(ends: Sequence[Driver | BaseException]) -> None:
    for driver in _opened(ends):
        driver.pgconn.finish()
