"""Ports for servers that restart on the same port, or that start after their port is known to others."""

import os
import random
import socket
from contextlib import suppress
from itertools import cycle

# These ports are below the ephemeral range, which the kernel uses for clients and for servers that listen on port 0.
# So no other socket takes the port while a server restarts. Each worker of pytest-xdist has its own 1,000 ports.
_FIRST, _SPAN, _SPANS = 20_000, 1_000, 12
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_begin = _FIRST + _worker % _SPANS * _SPAN
# The same port is not used twice in a row, and the start is random, so that it differs from the last run.
_ports = cycle(range(_begin, _begin + _SPAN))
for _ in range(random.randrange(_SPAN)):  # noqa: S311  # no secret
    next(_ports)


def free_port() -> int:
    """Return a free port of 127.0.0.1 outside of the ephemeral range."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the cycle is endless")


def free_address() -> str:
    """Return a free port with its host, as a value of SPROCKET_LISTEN."""
    return f"127.0.0.1:{free_port()}"
