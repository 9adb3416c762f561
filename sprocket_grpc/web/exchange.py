"""One HTTP request and its response, over ASGI."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import cached_property
from typing import Any, TypeAlias

from sprocket_grpc.errors import RequestTooLargeError

Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[str, str]]

_BUFFER_BYTES = 64 << 10
"""What the server holds of a response before `write` waits for the client to read it."""


class Exchange:
    """A request whose headers have arrived, and its response.

    Attributes:
        method: Such as `POST`.
        path: Such as `/sprocket.v1.FactoryService/GetFactory`.
        query: What follows the question mark in the URL.
        origin: The scheme and host that the client has connected to, such as `http://127.0.0.1:8080`.
        headers: The headers of the request by lower-case names; the last of several values for one name.
        host_headers: How many headers `Host` the request has.
        always: Headers that every response has.
        is_gone: Whether the client has disconnected.
    """

    def __init__(self, scope: Event, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.host_headers = sum(name == b"host" for name, _ in scope["headers"])
        self.origin = f"{scope['scheme']}://{self.headers.get('host', '')}"
        self.always: tuple[tuple[str, str], ...] = ()
        self.is_gone = False
        self._client = scope["client"] or ("", 0)
        self._receive = receive
        self._send = send

    @property
    def peer(self) -> str:
        """The address of the client, in the form of gRPC."""
        host, port = self._client
        return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"

    @cached_property
    def content_type(self) -> str:
        """The media type of the request, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def body(self, limit: int) -> bytes:
        """Return the body of the request once it has arrived.

        Raises:
            RequestTooLargeError: It has more than `limit` bytes.
            CancelledError: The client has disconnected.
        """
        _check_size(int(self.headers.get("content-length", 0)), limit)
        parts, size, more = [], 0, True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self.is_gone = True
                raise asyncio.CancelledError
            parts.append(event["body"])
            size += len(event["body"])
            _check_size(size, limit)
            more = event["more_body"]
        return b"".join(parts)

    async def gone(self) -> None:
        """Wait until the client has disconnected, after the body has arrived."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and headers of a response."""
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*headers, *self.always)]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, data: bytes) -> None:
        """Send a part of a body once the client has read what was sent before."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of a body, and wait until all but a buffer of it has left."""
        if len(data) > _BUFFER_BYTES:
            await self.write(data)
            data = b""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a whole response. That to HEAD has no body, which the server takes care of."""
        length = () if status in {204, 304} else (("content-length", str(len(body))),)
        await self.start(status, (*headers, *length))
        await self.end(body)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RequestTooLargeError(size, limit)
