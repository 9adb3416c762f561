"""Requests that are received in turns."""

import asyncio

import pytest

from sprocket_grpc.errors import ArrivalTimeoutError, OverloadedError
from sprocket_grpc.interceptors.arrivals import HURRIED_SECONDS, Arrivals

PATIENCE_SECONDS = 15


async def at_once() -> str:
    return "arrived"


async def never() -> str:
    await asyncio.Event().wait()
    return "arrived"


async def received(arrivals: Arrivals, holder: str) -> str:
    return await asyncio.wait_for(arrivals.receive(holder, at_once), PATIENCE_SECONDS)


async def test_a_request_that_does_not_arrive_has_its_time_and_hurries_once_another_waits() -> None:
    arrivals = Arrivals(1, 1, timeout_seconds=3600)
    assert await received(arrivals, "a") == "arrived"  # and is not hurried later
    late = asyncio.create_task(arrivals.receive("a", never))
    await asyncio.sleep(2 * HURRIED_SECONDS)
    assert not late.done()
    assert await received(arrivals, "b") == "arrived"
    with pytest.raises(ArrivalTimeoutError):
        await late


async def test_a_request_that_arrives_when_another_begins_to_wait_is_received_however_late_it_is() -> None:
    arrivals = Arrivals(1, 1, timeout_seconds=3600)
    arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    late = asyncio.create_task(arrivals.receive("a", lambda: arrived))
    await asyncio.sleep(2 * HURRIED_SECONDS)  # as if the event loop had been busy
    other = asyncio.create_task(received(arrivals, "b"))
    for _ in range(3):
        await asyncio.sleep(0)
    arrived.set_result("arrived")
    assert [await late, await other] == ["arrived"] * 2


async def test_a_request_whose_turn_does_not_come_is_refused_and_takes_none() -> None:
    arrivals = Arrivals(1, 1, timeout_seconds=0.1)
    await arrivals._turns.take("somebody who keeps it")
    with pytest.raises(OverloadedError):
        await received(arrivals, "a")
    arrivals._turns.give_back("somebody who keeps it")
    assert await received(arrivals, "a") == "arrived"


async def test_a_request_that_does_not_arrive_in_time_is_given_up() -> None:
    arrivals = Arrivals(1, 1, timeout_seconds=0.1)
    with pytest.raises(ArrivalTimeoutError):
        await asyncio.wait_for(arrivals.receive("a", never), PATIENCE_SECONDS)
    assert await received(arrivals, "a") == "arrived"
