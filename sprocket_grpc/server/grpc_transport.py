"""gRPC's calls as the chain of interceptors sees them: the adapter of the gRPC listener.

Every method is registered as one that takes a stream of requests, although clients send one: for these alone gRPC runs
the handler when the headers have arrived. For the others it waits for the whole message first, so that a caller who
never sends it could not be refused, limited or logged. On the wire there is no difference.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket_grpc.errors import MalformedRequestError, RequestTooLargeError
from sprocket_grpc.interceptors.chain import Answer, Rpc
from sprocket_grpc.interceptors.transport import Received

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, Message]"  # quoted: generic in its stubs only

_CERTIFICATE = "x509_pem_cert"


class GrpcTransport:
    """A call of gRPC.

    Attributes:
        metadata: The headers of the caller.
        peer: The address of the caller. gRPC is asked once: after the end of the call that crashes the process.
        system: The protocol.
    """

    system = "grpc"

    def __init__(self, rpc: Rpc, context: _Context) -> None:
        self.metadata: Mapping[str, str | bytes] = dict(context.invocation_metadata() or ())
        self.peer = context.peer()
        self._rpc = rpc
        self._context = context
        self._trailers: tuple[tuple[str, str], ...] = ()

    @property
    def certificate(self) -> bytes | None:
        """The verified certificate of the client, in PEM."""
        return next(iter(self._context.auth_context().get(_CERTIFICATE, ())), None)

    @property
    def seconds_left(self) -> float | None:
        """The time until the client's deadline."""
        left: float | None = self._context.time_remaining()  # None without one, although the stubs say float
        return left

    def add_trailer(self, name: str, value: str) -> None:
        """Send a header at the end of the call."""
        self._trailers = (*self._trailers, (name, value))
        self._context.set_trailing_metadata(self._trailers)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the call has ended, which for a response that is not read is when its client is gone."""
        ended: Any = lambda _: callback()  # noqa: E731  # its type is a protocol of the stubs
        self._context.add_done_callback(ended)

    async def receive(self, message_type: type[Message]) -> Received | None:
        """Wait for the next message; None if the client sends no more."""
        data: Any = await self._context.read()  # bytes or EOF, which the stubs do not know
        if data is grpc.aio.EOF:
            return None
        if len(data) > self._rpc.request_bytes_maximum:
            raise RequestTooLargeError(len(data), self._rpc.request_bytes_maximum)
        try:
            return Received(message_type.FromString(data), len(data))
        except DecodeError:
            raise MalformedRequestError(self._rpc.method) from None

    async def send(self, response: Message) -> None:
        """Send one of many responses."""
        with _client_may_be_gone():
            await self._context.write(response)

    async def abort(self, status: Status) -> NoReturn:
        """End the call with a status."""
        described = rpc_status.to_status(status)
        trailers = (*described.trailing_metadata, *self._trailers)
        with _client_may_be_gone():
            await self._context.abort(described.code, described.details, trailers)
        raise AssertionError  # gRPC has raised


@contextmanager
def _client_may_be_gone() -> Iterator[None]:
    """Cancel a call whose client has disconnected, as gRPC is about to do."""
    try:
        yield
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


def leave_out_what_strangers_cause() -> None:
    """Log no traceback of gRPC for a header that is not UTF-8, nor for a client that is gone when its response is sent.

    Strangers can cause both at any rate.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_fault_of_ours)


def _is_fault_of_ours(record: logging.LogRecord) -> bool:
    is_gone = record.exc_info is not None and isinstance(record.exc_info[1], grpc.aio.InternalError)
    return not is_gone and not str(record.msg).startswith("Invalid encoding on")


def add_rpcs(server: grpc.aio.Server, rpcs: Iterable[Rpc], around: Callable[[Rpc], Answer]) -> None:
    """Serve RPCs.

    Args:
        server: The server, before it starts.
        rpcs: The RPCs.
        around: Puts the interceptors around one.
    """
    handlers: dict[str, dict[str, Any]] = {}
    for rpc in rpcs:
        service, method = rpc.method[1:].split("/")
        handlers.setdefault(service, {})[method] = _handler(rpc, around(rpc))
    for service, methods in handlers.items():
        # Then gRPC has a queue for each method, so that health checks do not wait behind a flood of others. It takes
        # 8 % of a point read, since gRPC waits for the next call of each.
        server.add_registered_method_handlers(service, methods)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))


def _handler(rpc: Rpc, answer: Answer) -> Any:  # noqa: ANN401  # generic in its stubs only
    async def handle(_: object, context: _Context) -> Any:  # noqa: ANN401  # any message
        return await answer(GrpcTransport(rpc, context))

    kind = grpc.stream_stream_rpc_method_handler if rpc.is_stream else grpc.stream_unary_rpc_method_handler
    return kind(handle, None, _serialize)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
