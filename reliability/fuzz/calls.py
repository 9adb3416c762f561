"""What the fuzzer sends and what comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from reliability import http2
from reliability.fuzz.port import Metadata, Method

HANG_SECONDS = 20
"""Much longer than the server's own time limit of a call is set to: a call that takes longer has been forgotten."""

_LISTEN_SECONDS = 0.2
_MOST_RESPONSES = 20
_LOST = "Internal error from Core"


@dataclass(frozen=True)
class Request:
    """A call to make.

    Attributes:
        name: Its number and what was made of it, such as `712 bytes`.
        method: The method.
        metadata: Its metadata.
        message: The bytes of its only message.
        body: The whole body instead, if it is one that no client library sends.
        timeout: The deadline that the client sends, in seconds, or None.
    """

    name: str
    method: Method
    metadata: Metadata
    message: bytes = b""
    body: bytes | None = None
    timeout: float | None = None

    @property
    def whole_body(self) -> bytes:
        """The body as it is sent."""
        return http2.message(self.message) if self.body is None else self.body


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        code: The name of the status code; `HANG` if the call had to be given up; `LOST` if the server had answered
            before the client had sent all of it, of which grpc.aio makes an error of its own; or see `http2.Answer`.
        details: The message of the status.
        seconds: How long it took.
        responses: The bytes of the responses, if a client library made the call.
    """

    code: str
    details: str
    seconds: float
    responses: list[bytes] = field(default_factory=list)


async def send(address: str, channel: grpc.aio.Channel, request: Request) -> Outcome:
    """Make a call, and read its responses: all of them, or those that a stream sends within 0.2 seconds."""
    begin, responses = time.monotonic(), list[bytes]()
    code, details = "OK", ""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            if request.body is not None:
                code, details = await send_body(address, request)
            else:
                await _exchange(channel, request, responses)
    except grpc.aio.AioRpcError as error:
        code, details = error.code().name, error.details() or ""
        if details == _LOST:
            code = "LOST"
    except TimeoutError:
        code = "HANG"
    return Outcome(code, details, time.monotonic() - begin, responses)


async def send_body(address: str, request: Request) -> http2.Answer:
    """Make a call on a connection of its own, with a body of any bytes, and wait for its status or a first response.

    Raises:
        OSError: The server accepts no connection.
    """
    method, metadata = request.method, request.metadata
    given = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in metadata]
    usual = [each for each in http2.USUAL if each[0] not in dict(given)]
    async with http2.connected(address, [(http2.INITIAL_WINDOW_SIZE, http2.LARGEST_WINDOW)]) as connection:
        await connection.send(http2.widest_connection(), http2.request_headers(1, method.path, [*usual, *given]))
        await connection.send(http2.data(1, request.whole_body, ends=True))
        return await connection.answer(streams=method.server_streaming)


async def _exchange(channel: Any, request: Request, responses: list[bytes]) -> None:  # noqa: ANN401  # no types for bytes
    method, options = request.method, {"metadata": request.metadata, "timeout": request.timeout}
    if not (method.server_streaming or method.client_streaming):
        responses.append(await channel.unary_unary(method.path)(request.message, **options))
    elif not method.client_streaming:
        await _listen(channel.unary_stream(method.path)(request.message, **options), responses)
    else:
        await _listen(channel.stream_stream(method.path)(_once(request.message), **options), responses)


async def _listen(stream: Any, responses: list[bytes]) -> None:  # noqa: ANN401  # as above
    task = asyncio.current_task()
    try:
        async with asyncio.timeout(_LISTEN_SECONDS):
            async for response in stream:
                responses.append(response)
                if len(responses) == _MOST_RESPONSES:
                    break
    except TimeoutError:
        pass  # it goes on for as long as the client wants
    except asyncio.CancelledError:
        if task and task.cancelling():
            raise
        # grpc's own, in about one of 10,000 calls: it has cancelled the stream, and says so once more
    finally:
        stream.cancel()


async def _once(message: bytes) -> AsyncIterator[bytes]:
    yield message
