"""Metrics of calls are collected in other threads, at any moment of a call."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions, Observation

from sprocket_grpc.interceptors.call import Call, CallNext
from sprocket_grpc.interceptors.metrics import CallMetrics
from sprocket_grpc.interceptors.status import Code
from sprocket_grpc.telemetry.histograms import Histograms

PATIENCE_SECONDS = 60
MOMENT_SECONDS = 0.2
BYTES = 7

Callback = Callable[[CallbackOptions], Iterator[Observation]]


class Meter:
    """Keeps the callbacks of metrics by name, and counts nothing."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callback] = {}

    def create_counter(self, *_: object) -> "Meter":
        return self

    def add(self, *_: object) -> None:
        """Count nothing."""

    def create_observable_counter(self, name: str, callbacks: Sequence[Callback], *_: object) -> None:
        self.callbacks[name] = callbacks[0]

    create_observable_up_down_counter = create_observable_counter

    def total(self, name: str) -> float:
        """Collect a metric, and return the sum over all methods."""
        return sum(each.value for each in self.callbacks[name](CallbackOptions()))


class Measured:
    """A call that runs something in another thread, for a moment, whenever its size is asked."""

    status, seconds, reason, is_uncounted, response_bytes, responses = Code.OK, 0.1, "", False, 0, 0
    transport = SimpleNamespace(system="grpc")

    def __init__(self, method: str) -> None:
        self.method = method
        self.meanwhile: Callable[[], object] | None = None
        self.threads: list[threading.Thread] = []

    @property
    def request_bytes(self) -> int:
        if self.meanwhile:
            self.threads.append(threading.Thread(target=self.meanwhile, daemon=True))
            self.threads[-1].start()
            self.threads[-1].join(MOMENT_SECONDS)
        return BYTES


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def metrics(meter: Any) -> CallMetrics:
    return CallMetrics(meter, Histograms())


async def intercept(metrics: CallMetrics, call: Any, call_next: CallNext) -> None:
    await metrics.intercept(call, call_next)
    for thread in call.threads:
        thread.join(PATIENCE_SECONDS)


async def test_a_counter_does_not_decrease_while_a_call_ends(metrics: CallMetrics, meter: Meter) -> None:
    call, collected = Measured("/a/b"), []

    async def answer(_: Call) -> None:
        assert meter.total("sprocket.call.received") == BYTES
        call.meanwhile = lambda: collected.append(meter.total("sprocket.call.received"))

    await intercept(metrics, call, answer)
    assert collected == [BYTES]


async def test_calls_of_other_methods_may_begin_while_metrics_are_collected(metrics: CallMetrics, meter: Meter) -> None:
    call, other = Measured("/a/b"), Measured("/a/c")

    async def answer(_: Call) -> None:
        call.meanwhile = lambda: asyncio.run(intercept(metrics, other, nothing))
        assert meter.total("sprocket.call.received") == BYTES
        call.meanwhile = None

    await intercept(metrics, call, answer)
    assert meter.total("sprocket.call.received") == 2 * BYTES
    assert meter.total("sprocket.call.active") == 0


async def nothing(_: Call) -> None:
    """Answer nothing."""
