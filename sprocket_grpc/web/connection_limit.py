"""The largest number of open connections: those that wait for a request make room for new ones."""

from typing import Protocol

_MOST_REFUSED = 100
"""How many connections over the limit are open at once. Health checks are among them, and a flood must not close one
before its request has arrived: at 10,000 new connections per second, it has 10 ms for that."""


class LimitedConnection(Protocol):
    """A connection that is counted."""

    def make_room(self) -> None:
        """Close the connection, which waits for a request."""


class ConnectionLimit:
    """The open connections of a listener."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[LimitedConnection] = set()
        self._waiting: dict[LimitedConnection, None] = {}  # the one that has waited longest first
        self._refused: dict[LimitedConnection, None] = {}  # the oldest first, until it sends its request

    def enter(self, connection: LimitedConnection) -> bool:
        """Count a new connection, and return whether it may call.

        If there are too many, the one that has waited longest for a request is closed, as clients and proxies expect of
        an idle connection. If all others are used, the new one may not call, and gets an answer that says so.
        """
        if len(self._open) >= self._most and self._waiting:
            self._close_first(self._waiting)
        may_call = len(self._open) < self._most
        if may_call:
            self._open.add(connection)
            self.idle(connection)
        else:
            self._refuse(connection)
        return may_call

    def idle(self, connection: LimitedConnection) -> None:
        """Note that a connection waits for a request: it has sent none, or not the whole headers of one."""
        if connection in self._open:
            self._waiting[connection] = None

    def use(self, connection: LimitedConnection) -> None:
        """Note that a connection has sent a request."""
        self._waiting.pop(connection, None)
        self._refused.pop(connection, None)

    def leave(self, connection: LimitedConnection) -> None:
        """Forget a connection that is closed."""
        self.use(connection)
        self._open.discard(connection)

    def _refuse(self, connection: LimitedConnection) -> None:
        self._refused[connection] = None
        if len(self._refused) > _MOST_REFUSED:
            self._close_first(self._refused)

    def _close_first(self, connections: dict[LimitedConnection, None]) -> None:
        first = next(iter(connections))
        self.leave(first)
        first.make_room()
