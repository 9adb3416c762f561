"""Measures how long a server with two workers is away after kill -9, and the CPU of a worker's start."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import NamedTuple, Self

import grpc

from bench import processes
from bench.plan import Bench
from bench.report import Figure, Target, interleave
from reliability.server import ServerProcess, new_server
from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub

_WORKERS = 2
_PATIENCE_SECONDS = 30
_PAUSE_SECONDS = 0.01
_BACKOFF = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class _Return(NamedTuple):
    """How a server came back, in seconds after it was started again.

    Attributes:
        answering: Until it answered a new connection.
        caller: Until it answered a caller that was connected before, and connects again by itself.
        worker: The CPU time of a worker until then.
    """

    answering: float
    caller: float
    worker: float


class _Caller:
    """Calls a server all the time, over one channel with a short reconnect backoff."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ended = Event()
        self._thread = Thread(target=self._call)
        self.answered = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def answered_after(self, moment: float) -> float:
        """Return the time until the first answer after a moment, in seconds.

        Raises:
            TimeoutError: There was none.
        """
        while self.answered <= moment:
            if time.perf_counter() > moment + _PATIENCE_SECONDS:
                raise TimeoutError("the caller got no answer after the server was started again")
            time.sleep(_PAUSE_SECONDS / 10)
        return self.answered - moment

    def _call(self) -> None:
        with grpc.insecure_channel(self._address, options=_BACKOFF) as channel:
            while not self._ended.wait(_PAUSE_SECONDS):
                if _answers(channel):
                    self.answered = time.perf_counter()


def measure_kill(bench: Bench) -> Iterator[Figure]:
    """Kill the processes of a server with two workers, and start it again at once."""
    with (
        TemporaryDirectory() as directory,
        new_server(bench.postgres.url, Path(directory) / "log", _WORKERS) as server,
        _Caller(server.address) as caller,
    ):
        caller.answered_after(time.perf_counter())
        runs = interleave({"kill -9 and start": partial(_kill, server, caller)}, bench.plan.rounds, bench.progress)
    returns = runs["kill -9 and start"]
    what = f"from the start after kill -9, {_WORKERS} workers"
    promises = {
        f"{what}, to an answer": ("s", [each.answering for each in returns], 1.0),
        f"{what}, to an answer to a connected caller": ("s", [each.caller for each in returns], 2.0),
        f"{what}, of a worker": ("s CPU", [each.worker for each in returns], 0.2),
    }
    for name, (unit, measured, promised) in promises.items():
        yield Figure(name, unit, measured, "promised maximum", [promised] * len(returns), (Target("<=", 1),))


def _kill(server: ServerProcess, caller: _Caller) -> _Return:
    server.kill()
    begin = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(server.start, _WORKERS)
        answering = _first_answer(server.address) - begin
        started.result()
    worker = sum(map(processes.cpu_seconds, server.pids)) / _WORKERS
    return _Return(answering, caller.answered_after(begin), worker)


def _first_answer(address: str) -> float:
    """Wait until a server answers a new connection, and return the moment."""
    end = time.perf_counter() + _PATIENCE_SECONDS
    while time.perf_counter() < end:
        with grpc.insecure_channel(address, options=_OWN_CONNECTION) as channel:
            if _answers(channel):
                break
        time.sleep(_PAUSE_SECONDS)
    return time.perf_counter()


def _answers(channel: grpc.Channel) -> bool:
    try:
        LocationServiceStub(channel).ListLocations(ListLocationsRequest(page_size=1), timeout=_PATIENCE_SECONDS)
    except grpc.RpcError:
        return False
    return True
