"""HTTP/2 frames by hand (RFC 9113), for clients that do what no library does: begin requests and never end them.

A library such as h2 refuses to send what breaks the protocol, and keeps state for each stream, which an attacker with
10,000 of them cannot afford. What is needed is small: headers are literals that no table keeps (RFC 7541, 6.2.2).
"""

import asyncio
import re
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import grpc

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4

FIRST_WINDOW, MOST_IN_FRAME = 65535, 16384
"""How many bytes may be sent before the server says more, and how many in one frame, by default."""

LARGEST_WINDOW = 2**31 - 1

HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
"""Settings. Without a table, the server spells out every header, so that its status can be read without HPACK."""

Headers = Sequence[tuple[bytes, bytes]]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STATUS = re.compile(rb"\x0bgrpc-status[\x01\x02](\d\d?)")
_MESSAGE = re.compile(rb"\x0cgrpc-message(?:[\x01-\x7e]|\x7f[\x80-\xff]*[\x00-\x7f])([ -~]*)")
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Frame(NamedTuple):
    """A frame that the server sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Answer(NamedTuple):
    """How a stream ended.

    Attributes:
        code: The name of its status code; `RST_STREAM`, `GOAWAY`, `CLOSED` or `HTTP` if it has none.
        details: The message of the status, or the number of the error.
    """

    code: str
    details: str


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Encode a frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def widest_connection() -> bytes:
    """Permit the server to send as much as it likes on all streams together."""
    return frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - FIRST_WINDOW))


USUAL: Headers = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
"""The headers that every client of gRPC sends."""


def request_headers(stream: int, path: str, headers: Headers = USUAL) -> bytes:
    """Encode the headers that begin a call."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        *headers,
    ]
    block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)
    return frame(HEADERS, END_HEADERS, stream, block)


def message(content: bytes, *, compressed: int = 0) -> bytes:
    """Prefix a message as gRPC does: whether it is compressed, and its length."""
    return bytes([compressed]) + len(content).to_bytes(4, "big") + content


def data(stream: int, content: bytes, *, ends: bool = False) -> bytes:
    """Encode data of a stream in frames of the largest size that servers accept by default."""
    pieces = [content[at : at + MOST_IN_FRAME] for at in range(0, len(content), MOST_IN_FRAME)] or [b""]
    kinds = [0] * (len(pieces) - 1) + [END_STREAM if ends else 0]
    return b"".join(frame(DATA, flags, stream, piece) for flags, piece in zip(kinds, pieces, strict=True))


def _string(value: bytes) -> bytes:
    """Encode a text: its length as a number with a prefix of 7 bits (RFC 7541, 5.1), then its bytes."""
    if len(value) < 0x7F:  # what the prefix holds
        return bytes([len(value)]) + value
    rest, encoded = len(value) - 0x7F, bytearray([0x7F])
    while rest > 0x7F:  # seven bits to a byte
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*encoded, rest]) + value


@dataclass
class Connection:
    """A connection that sends any frames, and acknowledges what servers require."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *frames: bytes) -> None:
        """Send frames.

        Raises:
            OSError: The server has closed the connection.
        """
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def upload(self, stream: int, content: bytes) -> None:
        """Send data of a stream as fast as the server's flow control permits (RFC 9113, 5.2), as its only stream.

        Returns early if the server ends the stream.

        Raises:
            OSError: The server has closed the connection.
        """
        windows = {0: FIRST_WINDOW, stream: FIRST_WINDOW}
        frames = self.frames()
        while content:
            if size := min(*windows.values(), MOST_IN_FRAME):
                await self.send(data(stream, content[:size]))
                content = content[size:]
                windows = {each: window - min(size, window) for each, window in windows.items()}
            elif not await _widen(windows, frames, stream):
                return

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield what the server sends until it closes the connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await self.reader.readexactly(9)
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                payload = await self.reader.readexactly(size)
                if kind in (SETTINGS, PING) and not flags & ACK:
                    await self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
                yield Frame(kind, flags, int.from_bytes(head[5:], "big"), payload)

    async def answer(self, stream: int = 1, *, streams: bool = False) -> Answer:
        """Wait for the end of a stream, or for its first response if it may have no end."""
        async for each in self.frames():
            if streams and each.kind == DATA and each.stream == stream:
                return Answer("OK", "")
            if each.kind == GOAWAY:
                return Answer("GOAWAY", each.payload[8:].decode(errors="replace"))
            if each.kind == RST_STREAM and each.stream == stream:
                return Answer("RST_STREAM", str(int.from_bytes(each.payload, "big")))
            if each.kind == HEADERS and each.stream == stream and each.flags & END_STREAM:
                return _answer(each.payload)
        return Answer("CLOSED", "")


async def _widen(windows: dict[int, int], frames: AsyncIterator[Frame], stream: int) -> bool:
    """Wait until the server permits more, and return whether it still wants the stream."""
    async for each in frames:
        if each.kind == WINDOW_UPDATE and each.stream in windows:
            windows[each.stream] += int.from_bytes(each.payload, "big")
            return True
        if each.kind == SETTINGS and (size := _initial_window(each.payload)):
            windows[stream] += size - FIRST_WINDOW  # for a server that says it once, as all do
            return True
        if each.kind == GOAWAY or (each.stream == stream and (each.kind == RST_STREAM or each.flags & END_STREAM)):
            return False
    return False


def _initial_window(settings: bytes) -> int | None:
    """Return the INITIAL_WINDOW_SIZE of a SETTINGS frame, if it has one."""
    pairs = dict(struct.iter_unpack(">HI", settings))
    return pairs.get(INITIAL_WINDOW_SIZE)


def _answer(block: bytes) -> Answer:
    status, text = _STATUS.search(block), _MESSAGE.search(block)
    if not status:
        return Answer("HTTP", repr(block))
    return Answer(_CODES[int(status[1])], text[1].decode() if text else "")


@asynccontextmanager
async def connected(
    address: str, settings: Sequence[tuple[int, int]] = (), tls: ssl.SSLContext | None = None
) -> AsyncIterator[Connection]:
    """Connect to a server until the block ends, and begin HTTP/2 with settings.

    Raises:
        OSError: The server accepts no connection.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        own = [(HEADER_TABLE_SIZE, 0), *settings]
        payload = b"".join(struct.pack(">HI", *each) for each in own)
        connection = Connection(reader, writer)
        await connection.send(_PREFACE, frame(SETTINGS, 0, 0, payload))
        yield connection
    finally:
        writer.transport.abort()
