"""A small client of HTTP/1.1 for tests, which sends what no library would, and reads streams as they come."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 60


@dataclass
class Response:
    """A response whose headers have arrived.

    Attributes:
        status: Its status.
        headers: Its headers by lower-case names.
        reader: Where its body comes from.
        has_body: Whether it has a body.
    """

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    has_body: bool = True

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the parts of the body as they arrive."""
        if not self.has_body:
            return
        if "content-length" in self.headers:
            yield await self.reader.readexactly(int(self.headers["content-length"]))
            return
        assert self.headers["transfer-encoding"] == "chunked"
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()

    async def body(self) -> bytes:
        """Return the whole body."""
        return b"".join([each async for each in self.chunks()])

    async def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(await self.body())


@dataclass
class Answered:
    """A whole response.

    Attributes:
        status: Its status.
        headers: Its headers by lower-case names.
        body: Its body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@asynccontextmanager
async def connected(
    address: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection, and cut it when the block ends."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls, limit=16 << 20)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def receive(reader: asyncio.StreamReader, method: str = "POST") -> Response:
    """Read a response up to its body."""
    status_line = (await reader.readline()).decode()
    assert status_line, "the server has closed the connection"
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(": ")
        headers[name] = value if name not in headers else f"{headers[name]}, {value}"
    status = int(status_line.split()[1])
    if status == 100:  # continue
        return await receive(reader, method)
    return Response(status, headers, reader, method != "HEAD" and status not in {204, 304})


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the first line and the headers of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@asynccontextmanager
async def opened(address: str, method: str, target: str, body: bytes = b"", **headers: str) -> AsyncIterator[Response]:
    """Send a request, and yield its response once its headers have arrived. An underscore in a name is a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with asyncio.timeout(PATIENCE_SECONDS), connected(address) as (reader, writer):
        writer.write(head(method, target, {"host": address, "content-length": str(len(body))} | named) + body)
        yield await receive(reader, method)


async def send(address: str, method: str, target: str, body: bytes = b"", **headers: str) -> Answered:
    """Send a request, and return its response."""
    async with opened(address, method, target, body, **headers) as response:
        return Answered(response.status, response.headers, await response.body())


async def post(address: str, path: str, message: object, **headers: str) -> Answered:
    """Call a method with JSON."""
    return await send(address, "POST", path, json.dumps(message).encode(), content_type="application/json", **headers)
