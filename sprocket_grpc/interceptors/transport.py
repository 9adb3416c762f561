"""A call as a listener receives it. The interceptors work on this alone, so that every protocol is an adapter.

An adapter turns the calls of one protocol (gRPC today) into `Transport`, and knows nothing of limits, identities or
logs. The interceptors know nothing of protocols.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn, Protocol

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status


class Received(NamedTuple):
    """A message that has arrived.

    Attributes:
        message: The message.
        size: Its size in bytes on the wire.
    """

    message: Message
    size: int


class Transport(Protocol):
    """One call on the wire. Its headers have arrived; its message may not have.

    Attributes:
        metadata: The headers of the caller, by lower-case names; the last of several values for one name.
        peer: The address of the caller, such as `ipv4:127.0.0.1:4711`.
        system: The protocol as OpenTelemetry names it: `grpc` or `connectrpc`.
    """

    metadata: Mapping[str, str | bytes]
    peer: str
    system: str

    @property
    def certificate(self) -> bytes | None:
        """The client certificate that the connection was opened with, verified, in PEM; None without one."""

    @property
    def seconds_left(self) -> float | None:
        """The time until the caller's deadline, or None without a deadline."""

    def add_trailer(self, name: str, value: str) -> None:
        """Send a header at the end of the call, with any status."""

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when a call with one response has ended and its response has left, if it can."""

    async def receive(self, message_type: type[Message]) -> Received | None:
        """Wait for the next message; None if the caller sends no more.

        Raises:
            MalformedRequestError: It is not a message of this type.
        """

    async def send(self, response: Message) -> None:
        """Send one of many responses, and wait until the caller has room for it.

        Raises:
            CancelledError: The caller has disconnected.
        """

    async def abort(self, status: Status) -> NoReturn:
        """End the call with a status that is not OK."""
