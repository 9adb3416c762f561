"""The time limits of calls share a timer, and each ends its own block, and only that."""

import asyncio
import math

import pytest

from sprocket_grpc.interceptors.time_limits import TimeLimit, TimeLimits
from tests.support.waiting import PATIENCE_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _run(limits: TimeLimits, seconds: float, work_seconds: float) -> str:
    limit = limits.start(_now() + seconds)
    try:
        async with limit.timeout:
            await asyncio.sleep(work_seconds)
            return "done"
    except TimeoutError:
        return "ended"
    finally:
        limits.stop(limit)


async def test_each_block_ends_at_its_own_limit_and_the_others_go_on() -> None:
    limits = TimeLimits()
    outcomes = await asyncio.gather(
        _run(limits, 0.1, 3600), _run(limits, 3600, 0.5), _run(limits, 0.2, 3600), _run(limits, 3600, 0)
    )
    assert list(outcomes) == ["ended", "done", "ended", "done"]


async def test_a_limit_after_a_time_without_any_ends_its_block_too() -> None:
    limits = TimeLimits()
    assert await _run(limits, 0.01, 3600) == "ended"
    await asyncio.sleep(0.2)  # the timer has rung, and is not set again
    assert await _run(limits, 0.01, 3600) == "ended"


async def test_a_limit_can_be_shortened_while_its_block_runs_but_not_extended() -> None:
    limits, began = TimeLimits(), _now()
    limit = limits.start(began + 3600)

    async def work() -> None:
        async with limit.timeout:
            limit.shorten(_now() + 0.05)
            limit.shorten(math.inf)
            await asyncio.sleep(PATIENCE_SECONDS)

    with pytest.raises(TimeoutError):
        await work()
    limits.stop(limit)
    assert _now() - began < PATIENCE_SECONDS


async def test_a_block_that_is_ended_twice_ends_once() -> None:
    limit = TimeLimit(math.inf)

    async def work() -> None:
        async with limit.timeout:
            limit.end(_now())
            try:
                await asyncio.sleep(PATIENCE_SECONDS)
            finally:
                limit.end(_now())  # while it is being ended

    with pytest.raises(TimeoutError):
        await work()
