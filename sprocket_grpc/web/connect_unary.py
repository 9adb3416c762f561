"""Connect's calls with one response: a plain POST of JSON or binary, and GET for methods without side effects."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from urllib.parse import parse_qs

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from sprocket_grpc.interceptors.status import Code
from sprocket_grpc.web.codec import CODECS, JSON, Codec, MalformedError, aside
from sprocket_grpc.web.compression import accepts_gzip, deflate, inflate, is_compressed, is_worth
from sprocket_grpc.web.connect_errors import HTTP_STATUSES, encode_json, error_headers, error_json
from sprocket_grpc.web.exchange import Exchange
from sprocket_grpc.web.timeouts import connect_timeout
from sprocket_grpc.web.transport import Wire

_NOT_STORED = ("cache-control", "no-store")


async def respond_error(exchange: Exchange, status: Status, trailers: Sequence[tuple[str, str]] = ()) -> None:
    """Respond with an error."""
    headers = [("content-type", "application/json"), _NOT_STORED, *error_headers(status), *trailers]
    await exchange.respond(HTTP_STATUSES[Code(status.code)], headers, encode_json(error_json(status)))


class ConnectUnary(Wire):
    """A POST."""

    def __init__(self, exchange: Exchange, codec: Codec) -> None:
        self.codec = codec
        self.timeout_seconds: float | None = None
        self._exchange = exchange
        self._is_compressed = False

    def check(self) -> None:
        """Read the headers that may be wrong."""
        self.timeout_seconds = connect_timeout(self._exchange.headers)
        self._is_compressed = is_compressed(self._exchange.headers, "content-encoding")

    async def read(self, limit: int) -> bytes | None:
        """Return the request message."""
        body = await self._exchange.body(limit)
        return await inflate(body, limit) if self._is_compressed else body

    async def send(self, message: Message, trailers: Sequence[tuple[str, str]]) -> None:
        """Not used: there is one response."""
        raise NotImplementedError

    async def finish(self, response: Message | None, trailers: Sequence[tuple[str, str]]) -> None:
        """Respond with a message."""
        assert response is not None  # noqa: S101  # the method has one response
        data = await aside(response.ByteSize(), self.codec.serialize, response)
        await self._respond(data, trailers)

    async def fail(self, status: Status, trailers: Sequence[tuple[str, str]]) -> None:
        """Respond with an error."""
        await respond_error(self._exchange, status, trailers)

    async def _respond(
        self, data: bytes, trailers: Sequence[tuple[str, str]], caching: Sequence[tuple[str, str]] = (_NOT_STORED,)
    ) -> None:
        headers = [("content-type", f"application/{self.codec.name}"), *caching, *trailers]
        if is_worth(data) and accepts_gzip(self._exchange.headers, "accept-encoding"):
            data = await aside(len(data), deflate, data)
            headers.append(("content-encoding", "gzip"))
        await self._exchange.respond(200, headers, data)


class ConnectGet(ConnectUnary):
    """A GET, whose message is in the URL and whose response can be validated by its ETag."""

    def __init__(self, exchange: Exchange) -> None:
        self._query = {name: values[-1] for name, values in _parse(exchange.query).items()}
        super().__init__(exchange, CODECS.get(self._query.get("encoding", ""), JSON))

    async def read(self, limit: int) -> bytes | None:
        """Return the request message."""
        data = self._message()
        return await inflate(data, limit) if self._query.get("compression") == "gzip" else data

    def _message(self) -> bytes:
        for name, accepted in _ACCEPTED.items():
            if self._query.get(name, accepted[0]) not in accepted:
                raise MalformedError(f"the parameter {name} of the URL: expected {' or '.join(filter(None, accepted))}")
        if "message" not in self._query or "encoding" not in self._query:
            raise MalformedError("expected the parameters encoding and message in the URL")
        text = self._query["message"].encode("utf-8", "surrogateescape")
        return _decode(text) if self._query.get("base64") == "1" else text

    async def _respond(
        self, data: bytes, trailers: Sequence[tuple[str, str]], caching: Sequence[tuple[str, str]] = ()
    ) -> None:
        # Weak, since it is the same for the compressed response.
        etag = f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'
        caching = [("cache-control", "private, no-cache"), ("etag", etag), ("vary", "authorization, accept-encoding")]
        if etag in self._exchange.headers.get("if-none-match", ""):
            await self._exchange.respond(304, [*caching, *trailers])
        else:
            await super()._respond(data, trailers, caching)


_ACCEPTED = {
    "connect": ["v1"],
    "encoding": ["json", "proto"],
    "base64": ["", "0", "1"],
    "compression": ["", "gzip", "identity"],
}
"""The values of the parameters of a GET."""


def _parse(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=20)
    except ValueError:
        return {}


def _decode(text: bytes) -> bytes:
    """Return the bytes in base64 with either alphabet, with or without padding."""
    standard = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise MalformedError("the parameter message of the URL: expected base64") from None
