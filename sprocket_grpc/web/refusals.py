"""Refuses requests by HTTP before they are calls: with details, a request id, a line in the log, and a count."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from sprocket_grpc.errors import SprocketError
from sprocket_grpc.interceptors.call import Interceptor
from sprocket_grpc.interceptors.chain import refuse
from sprocket_grpc.interceptors.transport import Received
from sprocket_grpc.web.exchange import Exchange
from sprocket_grpc.web.transport import CallEnded, read_metadata

NO_METHOD = "/_OTHER"
"""The method of requests that name none, as the semantic conventions of OpenTelemetry call it."""


class Refusal(NamedTuple):
    """How a request is refused.

    Attributes:
        status: The status with its details.
        trailers: The headers that go with it, such as the request id.
    """

    status: Status
    trailers: Sequence[tuple[str, str]]


class Refusals:
    """Refuses requests within the interceptors that log and count them."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = interceptors

    async def refuse(self, exchange: Exchange, error: SprocketError, method: str = NO_METHOD) -> Refusal:
        """Log and count a request that is not answered, and return what its client is told."""
        transport = _Refused(exchange)
        try:
            await refuse(method, transport, error, self._interceptors)
        except CallEnded as ended:
            return Refusal(ended.status, transport.trailers)
        raise AssertionError("an interceptor has swallowed the error")


class _Refused:
    """A request of which nothing but the headers is read."""

    system = "http"  # no protocol of calls is known yet
    certificate: bytes | None = None
    seconds_left: float | None = None

    def __init__(self, exchange: Exchange) -> None:
        self.metadata: Mapping[str, str | bytes] = read_metadata(exchange.headers)
        self.peer = exchange.peer
        self.trailers: list[tuple[str, str]] = []

    def add_trailer(self, name: str, value: str) -> None:
        """Send a header with the response."""
        self.trailers.append((name, value))

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call nothing: a request that is refused holds nothing."""

    async def receive(self, message_type: type[Message]) -> Received | None:
        """Receive nothing."""
        raise NotImplementedError

    async def send(self, response: Message) -> None:
        """Send nothing."""
        raise NotImplementedError

    async def abort(self, status: Status) -> NoReturn:
        """End the request with a status."""
        raise CallEnded(status)
