"""Ports for servers that are started again on the same one, or started after others were told of it."""

import os
import random
import socket
from contextlib import suppress
from itertools import cycle

# Below those that the kernel gives to whoever names none: clients, and servers that listen on port 0. Such a one could
# have the port when a server wants it back. Each process that runs tests beside others has a thousand of its own.
_FIRST, _SPAN, _SPANS = 20_000, 1_000, 12
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_begin = _FIRST + _worker % _SPANS * _SPAN
# Not twice in a row, and not those that the last run ended with.
_ports = cycle(range(_begin, _begin + _SPAN))
for _ in range(random.randrange(_SPAN)):  # noqa: S311  # nobody has to be kept from guessing it
    next(_ports)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses, and that nobody gets who does not ask for it."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a cycle does not end")


def free_address() -> str:
    """Return such a port with its host, as servers are told to listen there."""
    return f"127.0.0.1:{free_port()}"
