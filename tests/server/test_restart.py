"""A server that was killed answers again, and so do its clients."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from tests.server.test_workers import children, command_line
from tests.server.test_workers import pytestmark as pytestmark  # noqa: PLC0414  # needs /proc and takes seconds too
from tests.support.command_line import ServeProcess, serving
from tests.support.ports import free_address
from tests.support.waiting import wait_until

# Generous: a server that starts imports for most of a second, and other programs may have the cores.
PATIENT_SECONDS = 20


@contextmanager
def patient_client(address: str) -> Iterator[grpc.Channel]:
    """Open a channel with the options that the documents recommend."""
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000)]
    with grpc.insecure_channel(address, options) as channel:
        yield channel


def call(channel: grpc.Channel) -> float:
    """Call as soon as the server answers, and return after how many seconds it did."""
    began = time.monotonic()
    LocationServiceStub(channel).ListLocations(ListLocationsRequest(), timeout=PATIENT_SECONDS, wait_for_ready=True)
    return time.monotonic() - began


def kill_all(served: ServeProcess) -> None:
    """Kill the processes of a server, as the kernel does when memory runs out."""
    pids = [served.process.pid, *children(served)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    served.process.wait(PATIENT_SECONDS)
    wait_until(lambda: not any(map(command_line, pids)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_was_killed_answers_the_same_client_again_after_its_restart(
    database_url: str, workers: int
) -> None:
    address = free_address()
    with patient_client(address) as channel:
        for _ in range(3):
            with serving("--workers", str(workers), database_url=database_url, listen=address) as served:
                assert call(channel) < PATIENT_SECONDS
                kill_all(served)
                with pytest.raises(grpc.RpcError) as raised:
                    LocationServiceStub(channel).ListLocations(ListLocationsRequest(), timeout=PATIENT_SECONDS)
                assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
