"""HTTP calls as the chain of interceptors sees them: what Connect and gRPC-Web have in common."""

import asyncio
import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, NoReturn, Protocol

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from sprocket_grpc.errors import MalformedRequestError
from sprocket_grpc.interceptors.chain import Answer, Rpc
from sprocket_grpc.interceptors.status import Code
from sprocket_grpc.interceptors.transport import Received
from sprocket_grpc.web.codec import Codec, MalformedError, aside
from sprocket_grpc.web.exchange import Exchange

_BINARY = "-bin"


class CallEnded(Exception):  # noqa: N818  # it is how a call ends, as AbortError of gRPC is
    """A call ended with a status that is not OK.

    Attributes:
        status: The status.
    """

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class ClientGoneError(Exception):
    """The client has disconnected, so that nobody waits for the response."""


class Wire(Protocol):
    """One request and its response in the form of one protocol.

    Attributes:
        codec: The form of the messages.
        system: The protocol as OpenTelemetry names it.
        timeout_seconds: The client's time limit for the call, or None.
    """

    codec: Codec
    system: ClassVar[str] = "connectrpc"
    timeout_seconds: float | None

    def check(self) -> None:
        """Read the headers that may be wrong.

        Raises:
            MalformedError: One is not valid.
            UnsupportedRequestError: The request is compressed in another way than gzip.
        """

    async def read(self, limit: int) -> bytes | None:
        """Return the request message, unpacked; None if there is none.

        Raises:
            MalformedError: The request cannot be read.
            RequestTooLargeError: It has more than `limit` bytes.
            CancelledError: The client has disconnected.
        """

    async def send(self, message: Message, trailers: Sequence[tuple[str, str]]) -> None:
        """Send one of many responses, and wait until the client has room for it."""

    async def finish(self, response: Message | None, trailers: Sequence[tuple[str, str]]) -> None:
        """End a call that succeeded; with its response, unless it has many."""

    async def fail(self, status: Status, trailers: Sequence[tuple[str, str]]) -> None:
        """End a call that failed."""


class WebTransport:
    """A call by HTTP.

    Attributes:
        metadata: The headers of the caller.
        peer: The address of the caller.
        system: The protocol.
        certificate: None: client certificates are for gRPC only.
        trailers: What is sent at the end of the call.
    """

    certificate: bytes | None = None

    def __init__(self, rpc: Rpc, exchange: Exchange, wire: Wire) -> None:
        self.metadata: Mapping[str, str | bytes] = read_metadata(exchange.headers)
        self.peer = exchange.peer
        self.system = wire.system
        self.trailers: list[tuple[str, str]] = []
        self._rpc = rpc
        self._exchange = exchange
        self._wire = wire
        self._ends: list[Callable[[], None]] = []
        self._is_received = False
        seconds = wire.timeout_seconds
        self._until = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._limit = asyncio.timeout_at(self._until)
        self._watch: asyncio.Task[None] | None = None

    @property
    def seconds_left(self) -> float | None:
        """The time until the client's deadline."""
        return None if self._until is None else max(0.0, self._until - asyncio.get_running_loop().time())

    def add_trailer(self, name: str, value: str) -> None:
        """Send a header at the end of the call."""
        self.trailers.append((name, value))

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the response has left, or its client is gone."""
        self._ends.append(callback)

    async def receive(self, message_type: type[Message]) -> Received | None:
        """Wait for the message; None for a second one, which no method takes."""
        if self._is_received:
            return None
        self._is_received = True
        try:
            data = await self._wire.read(self._rpc.request_bytes_maximum)
            self._watch_client()
            if data is None:
                return None
            return Received(await aside(len(data), self._wire.codec.parse, message_type, data), len(data))
        except MalformedError as error:
            raise MalformedRequestError(self._rpc.method, str(error)) from None

    async def send(self, response: Message) -> None:
        """Send one of many responses."""
        await self._wire.send(response, self.trailers)

    async def abort(self, status: Status) -> NoReturn:
        """End the call with a status."""
        raise CallEnded(status)

    async def run(self, answer: Answer) -> Message | None:
        """Answer the call until its deadline, or until its client is gone.

        Raises:
            CallEnded: It failed.
            ClientGoneError: Nobody waits for its response.
        """
        try:
            async with self._limit:
                response: Message | None = await answer(self)
                return response
        except (asyncio.CancelledError, TimeoutError):
            if self._exchange.is_gone:
                raise ClientGoneError from None
            if not self._limit.expired():
                raise
            status = Status(code=Code.DEADLINE_EXCEEDED, message="the deadline of the call has passed")
            raise CallEnded(status) from None
        finally:
            watch, self._watch = self._watch, None
            if watch:
                watch.cancel()

    def end(self) -> None:
        """Give back what the call has taken."""
        while self._ends:
            self._ends.pop()()

    def _watch_client(self) -> None:
        self._watch = asyncio.create_task(self._exchange.gone())
        self._watch.add_done_callback(self._on_gone)

    def _on_gone(self, watch: asyncio.Task[None]) -> None:
        # The call may have ended just before its client had gone.
        if watch is self._watch and not watch.cancelled() and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())


def read_metadata(headers: Mapping[str, str]) -> Mapping[str, str | bytes]:
    """Return headers as gRPC has them: those with the suffix -bin are bytes. Broken ones are left out."""
    return dict(_metadata(headers))


def _metadata(headers: Mapping[str, str]) -> Iterator[tuple[str, str | bytes]]:
    for name, value in headers.items():
        if not name.endswith(_BINARY):
            yield name, value
            continue
        try:
            yield name, base64.b64decode(value + "==="[: -len(value) % 4], validate=True)
        except ValueError:  # no base64, or not even ASCII
            continue
