"""Background tasks that fail, end or hang are restarted, logged and counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sprocket_grpc.telemetry import background
from sprocket_grpc.telemetry.background import Background, BackgroundTask
from tests.support.waiting import until

PATIENCE_SECONDS = 30


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_SHORTEST_PAUSE_SECONDS", 0.01)


@asynccontextmanager
async def kept(task: BackgroundTask) -> AsyncIterator[Background]:
    """Run a background task until the block ends."""
    supervisor = Background()
    keeping = asyncio.create_task(supervisor.keep(task))
    try:
        yield supervisor
        assert not keeping.done()
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def fail() -> None:
    """Fail."""
    raise RuntimeError("unexpected")


async def end() -> None:
    """End at once."""


async def hang() -> None:
    """Hang."""
    await asyncio.get_running_loop().create_future()


async def hang_although_cancelled() -> None:
    """Hang for a while longer when cancelled, as a statement does whose server does not answer that either."""
    try:
        await hang()
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)


async def cancel_itself() -> None:
    """End as a task does that is cancelled from elsewhere."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (BackgroundTask("t", fail, 60), "background task t failed; restarting it"),
        (BackgroundTask("t", fail), "background task t failed; restarting it"),
        (BackgroundTask("t", cancel_itself, 60), "background task t failed; restarting it"),
        (BackgroundTask("t", end), "background task t ended; restarting it"),
        (BackgroundTask("t", hang, 0.02), "background task t did not finish within 0.02 s; restarting it"),
        (BackgroundTask("t", hang_although_cancelled, 0.02), "background task t did not finish within 0.02 s"),
    ],
    ids=["a round fails", "a task without rounds fails", "cancelled", "ends", "hangs", "hangs although cancelled"],
)
async def test_a_task_that_stops_working_is_restarted_again_and_again(
    task: BackgroundTask, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(task) as supervisor:
        assert supervisor.restarts == {}
        await until(lambda: supervisor.restarts["t"] >= 3)
    assert caplog.text.count(message) >= 3
    assert ("unexpected" in caplog.text) == (task.run_round is fail)  # the traceback


async def test_rounds_that_succeed_follow_each_other_and_are_not_counted() -> None:
    rounds = 0

    async def one() -> None:
        nonlocal rounds
        rounds += 1
        await asyncio.sleep(0.001)

    async with kept(BackgroundTask("t", one, 60)) as supervisor:
        await until(lambda: rounds > 10)
    assert supervisor.restarts == {"t": 0}  # the metric has it from the start


async def test_a_task_that_keeps_failing_is_restarted_ever_more_rarely_until_it_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    results = iter([False] * 4 + [True] + [False] * 2)

    async def run(_: BackgroundTask) -> bool:
        return next(results)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    supervisor = Background()
    monkeypatch.setattr(supervisor, "_run_round", run)
    monkeypatch.setattr(background, "_LONGEST_PAUSE_SECONDS", 0.03)
    monkeypatch.setattr("sprocket_grpc.telemetry.background.asyncio.sleep", pause)
    with pytest.raises(RuntimeError, match="StopIteration"):  # the results are used up
        await supervisor.keep(BackgroundTask("t", end, 60))
    assert pauses == [0.01, 0.02, 0.03, 0.03, 0.01, 0.02]


async def test_a_task_ends_when_it_is_not_needed_any_more() -> None:
    left = 3

    async def one() -> None:
        nonlocal left
        left -= 1

    async with asyncio.timeout(PATIENCE_SECONDS):
        await Background().keep(BackgroundTask("t", one, 60, lambda: left > 0))
    assert left == 0


async def test_cancelling_a_task_cancels_its_round() -> None:
    cancelled = asyncio.Event()

    async def one() -> None:
        try:
            await hang()
        finally:
            cancelled.set()

    async with kept(BackgroundTask("t", one, 60)):
        await asyncio.sleep(0)  # it starts
        await asyncio.sleep(0)  # its round starts
    async with asyncio.timeout(PATIENCE_SECONDS):
        await cancelled.wait()
