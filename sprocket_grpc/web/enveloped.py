"""Messages in envelopes, as Connect's streams and gRPC-Web have them: a byte of flags, the length, and the message."""

import struct
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from sprocket_grpc.web.codec import Codec, MalformedError, aside
from sprocket_grpc.web.compression import accepts_gzip, deflate, inflate, is_compressed, is_worth
from sprocket_grpc.web.exchange import Exchange
from sprocket_grpc.web.transport import Wire

_HEAD = struct.Struct(">BI")

_COMPRESSED = 1


class Enveloped(Wire):
    """A call whose request and responses are in envelopes, and whose status is in the last one.

    Attributes:
        encoding_header: The header that says how messages are compressed.
        accepted_header: The header that says how they may be.
    """

    encoding_header: ClassVar[str]
    accepted_header: ClassVar[str]

    def __init__(self, exchange: Exchange, codec: Codec) -> None:
        self.codec = codec
        self.timeout_seconds: float | None = None
        self._exchange = exchange
        self._compresses = accepts_gzip(exchange.headers, self.accepted_header)
        self._is_compressed = False
        self._is_started = False

    def check(self) -> None:
        """Read the headers that may be wrong."""
        self._is_compressed = is_compressed(self._exchange.headers, self.encoding_header)

    async def read(self, limit: int) -> bytes | None:
        """Return the request message; None if there is no envelope."""
        body = await self._body(limit + _HEAD.size)
        if not body:
            return None
        if len(body) < _HEAD.size:
            raise MalformedError("the envelope of the message is cut off")
        flags, length = _HEAD.unpack_from(body)
        if length != len(body) - _HEAD.size:
            raise MalformedError("expected one message in an envelope with its length")
        if flags not in (0, _COMPRESSED) or (flags and not self._is_compressed):
            raise MalformedError("the flags of the envelope are not those of a message")
        data = body[_HEAD.size :]
        return await inflate(data, limit) if flags else data

    async def send(self, message: Message, trailers: Sequence[tuple[str, str]]) -> None:
        """Send one of many responses."""
        data = await aside(message.ByteSize(), self.codec.serialize, message)
        envelope = await self._envelope(0, data)
        await self._start(trailers)
        await self._exchange.write(self._encoded(envelope))

    async def finish(self, response: Message | None, trailers: Sequence[tuple[str, str]]) -> None:
        """End a call that succeeded."""
        if response is not None:
            await self.send(response, trailers)
        await self._end(None, trailers)

    async def fail(self, status: Status, trailers: Sequence[tuple[str, str]]) -> None:
        """End a call that failed."""
        await self._end(status, trailers)

    @abstractmethod
    def _last(self, status: Status | None, trailers: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
        """Return the flags and the content of the last envelope; the status is None if the call succeeded."""

    async def _body(self, limit: int) -> bytes:
        return await self._exchange.body(limit)

    def _encoded(self, envelope: bytes) -> bytes:
        return envelope

    async def _start(self, trailers: Sequence[tuple[str, str]]) -> None:
        if self._is_started:
            return
        self._is_started = True
        # Proxies such as nginx would otherwise collect responses before they pass them on.
        headers = [("content-type", self._exchange.content_type), ("cache-control", "no-store"), *trailers]
        headers.append(("x-accel-buffering", "no"))
        if self._compresses:
            headers.append((self.encoding_header, "gzip"))
        await self._exchange.start(200, headers)

    async def _end(self, status: Status | None, trailers: Sequence[tuple[str, str]]) -> None:
        envelope = await self._envelope(*self._last(status, trailers))
        await self._start(trailers)
        await self._exchange.end(self._encoded(envelope))

    async def _envelope(self, flags: int, data: bytes) -> bytes:
        if self._compresses and is_worth(data):
            flags, data = flags | _COMPRESSED, await aside(len(data), deflate, data)
        return _HEAD.pack(flags, len(data)) + data
