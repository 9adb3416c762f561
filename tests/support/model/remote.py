"""A service on a separate thread, for callers without an event loop, and the results of its calls."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, NamedTuple, TypeVar

import google.rpc.error_details_pb2 as details
import grpc
from google.rpc.status_pb2 import Status

from tests.support.books import read_chart
from tests.support.resources import Case
from tests.support.service import Service, running_service

T = TypeVar("T")

PATIENCE_SECONDS = 60


class Ended(NamedTuple):
    """The result of a call: its code, the reason and the fields or ids of the error, and the response."""

    code: grpc.StatusCode
    reason: str
    named: set[str]
    response: Any


@dataclass(frozen=True)
class Remote:
    """A service on the event loop of a separate thread, because hypothesis calls rules without an event loop."""

    service: Service
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the thread of the service, and wait for its result."""
        return _wait(work, self.loop)

    def call(self, case: Case, verb: str, request: Any) -> Ended:
        """Make a call, and return its result."""
        return self.run(_call(self.service, case, verb, request))


async def _call(service: Service, case: Case, verb: str, request: Any) -> Ended:
    try:
        if verb == "Chart":
            response: Any = (await read_chart(service, request.factory_id)).numbers
        else:
            response = await case.method(service, verb)(request)
    except grpc.aio.AioRpcError as error:
        info = _info(error)
        named = info.metadata.get("fields") or info.metadata.get("id") or ""
        return Ended(error.code(), info.reason.removeprefix("ERROR_REASON_"), set(named.split(",")), None)
    return Ended(grpc.StatusCode.OK, "", set(), response)


def _info(error: grpc.aio.AioRpcError) -> details.ErrorInfo:
    info = details.ErrorInfo()
    trailers = dict(error.trailing_metadata() or ())
    assert Status.FromString(bytes(trailers["grpc-status-details-bin"])).details[0].Unpack(info)
    return info


@contextmanager
def remote(url: str) -> Iterator[Remote]:
    """Run a server in a thread until the block ends."""
    with _loop_in_a_thread() as loop:
        running = running_service(url)
        there = Remote(_wait(running.__aenter__(), loop), loop)
        try:
            yield there
        finally:
            _wait(running.__aexit__(None, None, None), loop)


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _wait(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_SECONDS)
