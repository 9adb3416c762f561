"""The largest number of open connections: those that wait for a request make room for new ones."""

from typing import Protocol


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

    def enter(self, connection: LimitedConnection) -> bool:
        """Count a new connection, and return whether it may call.

        If there are too many, those that have waited longest for a request are closed, as clients and proxies expect of
        an idle connection. If all others are used, the new one may not call.
        """
        self._open.add(connection)
        self._make_room()
        self.idle(connection)
        return len(self._open) <= self._most

    def idle(self, connection: LimitedConnection) -> None:
        """Note that a connection waits for a request: it has sent none, or not the whole headers of one."""
        self._waiting[connection] = None

    def use(self, connection: LimitedConnection) -> None:
        """Note that a connection has sent a request."""
        self._waiting.pop(connection, None)

    def leave(self, connection: LimitedConnection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def _make_room(self) -> None:
        """Close connections that wait, also those that may not call, until the others are within the limit."""
        while len(self._open) > self._most and self._waiting:
            oldest = next(iter(self._waiting))
            self.leave(oldest)
            oldest.make_room()
