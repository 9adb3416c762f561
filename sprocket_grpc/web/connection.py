"""A connection of HTTP/1.1 whose memory and waits are bounded."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sprocket_grpc.web.connection_limit import ConnectionLimit

Refuse: TypeAlias = Callable[..., Awaitable[None]]
"""An application of ASGI."""

_MOST_UNPARSED_BYTES = 64 << 10
"""The largest headers of a request. Browsers send 16 kB at most; the parser itself has no limit."""

_HEADER_SECONDS = 10
"""How long headers may take to arrive, once they have begun to, and at all on a connection over the limit."""

_CLOSING_SECONDS = 1
"""How long a connection that makes room may take to close, while it has a file descriptor and is not counted. TLS would
wait 30 s for a client that says nothing, and data that a client does not read for ever."""

_END_OF_HEADERS = b"\r\n\r\n"

_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)
"""The offer of another protocol, which a server may ignore. `curl --http2` and Java send it with each request, and the
parser would take their bodies for the other protocol."""


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection that sends headers without end, no whole request in time, or that does not read.

    Attributes:
        seconds: How long a request may take to arrive, and how long a client may read nothing while a response waits.
        limit: Counts the connections.
        refuse: Responds on a connection over the limit.
    """

    seconds: ClassVar[float]
    limit: ClassVar[ConnectionLimit]
    refuse: ClassVar[Refuse]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own choice
        """Wait for a request, for a limited time."""
        super().connection_made(transport)
        self.client = self.client and (without_mapping(self.client[0]), self.client[1])
        self._arrived: bytes | None = b""  # of the headers of a request; None while its body arrives
        self._unparsed = 0
        self._has_headers = False
        self._arrival = self.loop.call_later(self.seconds, transport.abort)
        self._reading: asyncio.TimerHandle | None = None
        self._is_refused = not self.limit.enter(self)
        if self._is_refused:
            self._limit_arrival(min(self.seconds, _HEADER_SECONDS))
            self.app = self.refuse

    def make_room(self) -> None:
        """Close the connection, which waits for a request, in a limited time."""
        self.transport.close()
        self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what waits."""
        self.limit.leave(self)
        self._arrival.cancel()
        self._is_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data, and close the connection if it is much and still no whole part of a request."""
        if self._arrived == b"" and not (data := data.lstrip(b"\r\n")):
            return  # empty lines are no request, and keep no connection open
        self._unparsed += len(data)
        if self._arrived is None:
            super().data_received(data)
        elif _END_OF_HEADERS in (arrived := self._arrived + data) or not arrived[:1].isalpha():  # or it is not HTTP
            self._arrived = None
            headers, end, body = arrived.partition(_END_OF_HEADERS)
            super().data_received(_UPGRADE.sub(b"", headers) + end + body)
        else:
            if not self._arrived:
                self._limit_arrival(min(self.seconds, _HEADER_SECONDS))
            self._arrived = arrived
        if self._unparsed > max(_MOST_UNPARSED_BYTES, len(data)):
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Limit the time that the request has to arrive."""
        self._limit_arrival(self.seconds)
        self._has_headers = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Those behind the body would replace those that were checked."""
        if not self._has_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to answer a request, unless the client has not waited for the last response: it would be in memory."""
        self._unparsed = 0
        self._has_headers = True
        self.limit.use(self)
        if self._is_answering():
            self.transport.abort()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._unparsed = 0
        self._arrived = b""
        self._arrival.cancel()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self._is_refused:  # it is counted no more, and a client with TLS would have 30 s to close it
            self.loop.call_later(_CLOSING_SECONDS, self.transport.abort)
        elif not self.transport.is_closing():
            self.limit.idle(self)

    def pause_writing(self) -> None:
        """Wait for the client to read, for a limited time."""
        super().pause_writing()
        self._wait_for_reading()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._is_read()
        super().resume_writing()

    def _limit_arrival(self, seconds: float) -> None:
        self._arrival.cancel()
        self._arrival = self.loop.call_later(seconds, self.transport.abort)

    def _wait_for_reading(self) -> None:
        self._reading = self.loop.call_later(self.seconds, self._check_reading, self.transport.get_write_buffer_size())

    def _check_reading(self, before: int) -> None:
        """Go on waiting for a client that reads slowly."""
        if self.transport.get_write_buffer_size() < before:
            self._wait_for_reading()
        else:
            self.transport.abort()

    def _is_answering(self) -> bool:
        before: RequestResponseCycle | None = self.cycle  # None until the first request, although its type says never
        return before is not None and not before.response_complete

    def _is_read(self) -> None:
        if self._reading:
            self._reading.cancel()
            self._reading = None


def without_mapping(host: str) -> str:
    """Return an address of IPv4 as such, as gRPC does, although the listener is one of IPv6 too."""
    mapped = re.fullmatch(r"::ffff:(\d+\.\d+\.\d+\.\d+)", host)
    return mapped[1] if mapped else host


def connections(seconds: float, limit: ConnectionLimit, refuse: Refuse) -> type[Any]:
    """Return the class of connections with limits, which says to those over the limit what `refuse` responds."""
    bounds = {"seconds": seconds, "limit": limit, "refuse": staticmethod(refuse)}
    return type("Connection", (BoundedConnection,), bounds)
