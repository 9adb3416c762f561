"""A channel whose calls go by HTTP, so that the stubs of gRPC, and the tests that use them, work unchanged."""

import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToJson, Parse, SerializeToJsonError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from tests.support.http import Response, opened

CODES = {each.value[0]: each for each in grpc.StatusCode}
DETAILS = "grpc-status-details-bin"
_END_OF_STREAM, _TRAILERS = 2, 0x80


class Ended(NamedTuple):
    """How a call ended: the status, and the trailers."""

    status: Status
    trailers: dict[str, str | bytes]

    def check(self) -> None:
        """Raise the error that a channel of gRPC raises, unless the call succeeded."""
        if self.status.code:
            trailers = grpc.aio.Metadata(*self.trailers.items())
            raise grpc.aio.AioRpcError(CODES[self.status.code], grpc.aio.Metadata(), trailers, self.status.message)


class Form(NamedTuple):
    """A protocol and a form of messages.

    Attributes:
        unary: The content type of methods with one response.
        stream: That of methods with many.
    """

    unary: str
    stream: str

    @property
    def is_json(self) -> bool:
        """Whether messages are JSON."""
        return self.unary.endswith("json")


PROTOCOLS = {
    "connect-json": Form("application/json", "application/connect+json"),
    "connect-proto": Form("application/proto", "application/connect+proto"),
    "grpc-web": Form("application/grpc-web+proto", "application/grpc-web+proto"),
}


EACH = "each"
"""Stands for all protocols, each of which gets some of the tests."""


def protocol_of(test: str, chosen: str | None) -> str | None:
    """Return the protocol for a test: the chosen one, or one that its name decides, so that it stays the same."""
    return [*PROTOCOLS][zlib.crc32(test.encode()) % len(PROTOCOLS)] if chosen == EACH else chosen


class WebChannel:
    """The channel."""

    def __init__(self, address: str, protocol: str) -> None:
        self._address = address
        self._form = PROTOCOLS[protocol]

    def unary_unary(self, path: str, *coders: Any, **options: Any) -> Callable[..., Any]:
        """Return a method with one response."""

        async def call(request: Any, metadata: Sequence[tuple[str, str]] = (), timeout: float = 0) -> Any:  # noqa: ASYNC109  # as gRPC has it
            method = _Method(path, self._form, self._form.unary, *coders, **options)
            [response] = [each async for each in method.call(self._address, request, metadata, timeout)]
            return response

        return call

    def unary_stream(self, path: str, *coders: Any, **options: Any) -> Callable[..., Any]:
        """Return a method with many responses."""

        def call(request: Any, metadata: Sequence[tuple[str, str]] = (), timeout: float = 0) -> "_Stream":
            method = _Method(path, self._form, self._form.stream, *coders, **options)
            return _Stream(method.call(self._address, request, metadata, timeout))

        return call


class _Stream:
    """The responses of a call."""

    def __init__(self, responses: AsyncIterator[Any]) -> None:
        self._responses = responses

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._responses

    def cancel(self) -> None:
        """Leave the call: its connection is cut when the iterator is collected."""


class _Method:
    """A method as a stub knows it."""

    def __init__(
        self,
        path: str,
        form: Form,
        content_type: str,
        request_serializer: Callable[[Any], bytes] = lambda data: data,
        response_deserializer: Callable[[bytes], Any] = lambda data: data,
        **_: Any,
    ) -> None:
        described = descriptor_pool.Default().FindMethodByName(path[1:].replace("/", "."))
        self._types = GetMessageClass(described.input_type), GetMessageClass(described.output_type)
        self._path = path
        self._form = form
        self._content_type = content_type
        self._serialize = request_serializer
        self._deserialize = response_deserializer

    async def call(
        self, address: str, request: Any, metadata: Sequence[tuple[str, str]], seconds: float
    ) -> AsyncIterator[Any]:
        headers = {"content-type": self._content_type, **dict(metadata)}
        if seconds:
            headers |= {"connect-timeout-ms": str(int(seconds * 1000)), "grpc-timeout": f"{int(seconds * 1000)}m"}
        is_enveloped = self._content_type not in {"application/json", "application/proto"}
        body = self._encoded(self._serialize(request))
        body = struct.pack(">BI", 0, len(body)) + body if is_enveloped else body
        async with opened(address, "POST", self._path, body, **headers) as response:
            read = self._enveloped if is_enveloped else self._plain
            async for data in read(response):
                yield self._deserialize(data)

    def _encoded(self, request: bytes) -> bytes:
        """Return a request in the form of the call; bytes that are no message stay as they are."""
        if not self._form.is_json:
            return request
        try:
            return MessageToJson(self._types[0].FromString(request)).encode()
        except DecodeError:
            return request
        except SerializeToJsonError:
            pytest.skip("protobuf's JSON has no form for a value of this test")

    def _decoded(self, response: bytes) -> bytes:
        return Parse(response, self._types[1]()).SerializeToString() if self._form.is_json else response

    async def _plain(self, response: Response) -> AsyncIterator[bytes]:
        body = await response.body()
        if response.status != 200:
            _ended(json.loads(body), {"x-request-id": response.headers["x-request-id"]}).check()
        yield self._decoded(body)

    async def _enveloped(self, response: Response) -> AsyncIterator[bytes]:
        assert response.status == 200, await response.body()
        received = b""
        async for chunk in response.chunks():
            received += chunk
            while len(received) >= 5 and len(received) >= 5 + (length := struct.unpack_from(">I", received, 1)[0]):
                flags, data, received = received[0], received[5 : 5 + length], received[5 + length :]
                if flags in {_END_OF_STREAM, _TRAILERS}:
                    _last(flags, data).check()
                else:
                    yield self._decoded(data)
        assert not received


def _last(flags: int, data: bytes) -> Ended:
    if flags == _TRAILERS:
        lines = dict(_trailers(data))
        details = base64.b64decode(lines.get(DETAILS, "") + "==")
        status = Status.FromString(details)
        assert (str(status.code), status.message) == (lines["grpc-status"], unquote(lines.get("grpc-message", "")))
        return Ended(status, {"x-request-id": lines["x-request-id"], DETAILS: details})
    said = json.loads(data)
    trailers = {name: values[0] for name, values in said["metadata"].items()}
    return _ended(said["error"], trailers) if "error" in said else Ended(Status(), trailers)


def _trailers(data: bytes) -> Iterator[tuple[str, str]]:
    for line in data.decode().splitlines():
        name, _, value = line.partition(": ")
        yield name, value


def _ended(error: Any, trailers: dict[str, str | bytes]) -> Ended:
    """Return the status in an error of Connect."""
    [code] = [each for each in grpc.StatusCode if each.name.lower() == error["code"].replace("canceled", "cancelled")]
    status = Status(code=code.value[0], message=error["message"])
    for detail in error.get("details", []):
        packed = base64.b64decode(detail["value"] + "==")
        status.details.add(type_url=f"type.googleapis.com/{detail['type']}", value=packed)
    return Ended(status, trailers | {DETAILS: status.SerializeToString()})
