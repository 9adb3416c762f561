"""Ends streams that are silent for too long: gRPC waits for the next response without a limit."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Event, Thread
from typing import TypeVar

import grpc

LONGEST_SILENCE_SECONDS = 60.0
"""Four times as long as a followed chart may be silent by contract.

Keepalive notices lost connections, but not a server or proxy that answers pings and sends nothing.
"""

_Response = TypeVar("_Response")


class SilenceError(grpc.RpcError):
    """A stream was silent for too long. It has the methods of gRPC's own errors."""

    def code(self) -> grpc.StatusCode:
        """Return the status code."""
        return grpc.StatusCode.DEADLINE_EXCEEDED

    def details(self) -> str:
        """Return what is wrong."""
        return f"no response for {LONGEST_SILENCE_SECONDS:g} s"

    def trailing_metadata(self) -> None:
        """Return None: the server has not ended the stream."""


def until_silent(responses: Iterable[_Response], cancel: Callable[[], object]) -> Iterator[_Response]:
    """Yield the responses of a stream. The time that the caller takes to handle one does not count as silence.

    Args:
        responses: The stream.
        cancel: Cancels it, from any thread.

    Raises:
        SilenceError: No response arrived for `LONGEST_SILENCE_SECONDS`.
        grpc.RpcError: The stream broke.
    """
    watch = _Watch(cancel)
    try:
        for response in responses:
            watch.waits_since = math.inf
            yield response
            watch.waits_since = time.monotonic()
    except grpc.RpcError:
        if watch.has_cancelled:
            raise SilenceError from None
        raise
    finally:
        watch.over.set()


class _Watch:
    """A thread that cancels a stream when it has been silent for too long.

    Attributes:
        waits_since: Since when the next response is awaited, by the monotonic clock. Infinity while none is awaited.
        has_cancelled: Whether the stream was cancelled.
        over: Set when the stream has ended.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        self.waits_since = time.monotonic()
        self.has_cancelled = False
        self.over = Event()
        self._cancel = cancel
        Thread(target=self._run, name="silence", daemon=True).start()

    def _run(self) -> None:
        while not self.over.wait(LONGEST_SILENCE_SECONDS / 4):
            if time.monotonic() - self.waits_since > LONGEST_SILENCE_SECONDS:
                self.has_cancelled = True
                self._cancel()
                return
