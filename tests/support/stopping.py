"""Processes that hang: stopped with SIGSTOP, and continued."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.postgresql import PostgresServer


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Stop processes until the block ends, so that they see all that happens in it at once."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def backends_of(postgresql: PostgresServer) -> list[int]:
    """Return the pids of the backends of all clients."""
    statement = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    return [pid for (pid,) in postgresql.query(statement)]
