"""Followers that join, outages that pass, and quiet times: what happens the second time."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import UnavailableError
from sprocket_grpc.services.charts.followers import ChartPoller
from sprocket_grpc.slots import Slots
from sprocket_grpc.telemetry.background import Background
from tests.support.books import numbers_of
from tests.support.errors import fails
from tests.support.following import ChartFollower, ChartsFollower
from tests.support.locks import open_transaction
from tests.support.production import get_factory, update_factory
from tests.support.resources import create_factory
from tests.support.service import Service, running_service
from tests.support.waiting import until

pytestmark = pytest.mark.slow

PROGRESS_SECONDS = 2
CALL_TIMEOUT_SECONDS = 3.0


SETTINGS = Settings(follow_tick_seconds=0.02, follow_progress_seconds=PROGRESS_SECONDS)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A server with short intervals."""
    async with running_service(database_url, SETTINGS) as running:
        yield running


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[Service]:
    """A server on the same database with a short call timeout."""
    settings = SETTINGS.model_copy(update={"call_timeout_seconds": CALL_TIMEOUT_SECONDS})
    async with running_service(database_url, settings) as running:
        yield running


async def test_the_restarts_of_the_poller_are_a_metric_before_anybody_follows(service: Service) -> None:
    background = Background()
    ChartPoller(service.database, 1, background, Slots(1, 1, "charts"))
    assert background.restarts == {"chart-poll": 0}


async def add_entry(service: Service, factory_id: str, goal: int) -> None:
    """Add an entry to the chart of a factory."""
    await update_factory(service, factory_id, sprocket_production_goal=goal)


@pytest.mark.parametrize("kind", [ChartFollower, ChartsFollower])
async def test_a_follower_that_joins_hides_no_entry_from_those_who_were_there(
    service: Service, monkeypatch: pytest.MonkeyPatch, kind: type[ChartFollower] | type[ChartsFollower]
) -> None:
    factory_id = (await create_factory(service)).id
    poll, may_poll = service.chart_poller._poll, asyncio.Event()

    async def poll_when_allowed() -> None:
        await may_poll.wait()
        await poll()

    monkeypatch.setattr(service.chart_poller, "_poll", poll_when_allowed)
    async with ChartFollower(service.channel, factory_id) as first:
        await first.until_entries(1)
        await add_entry(service, factory_id, 2)
        joining = (
            ChartFollower(service.channel, factory_id)
            if kind is ChartFollower
            else ChartsFollower(service.channel, [factory_id])
        )
        async with joining as second:
            await second.until_entries(2)  # from its history
            await until_streams(service, 2)
            may_poll.set()
            await first.until_entries(2)
            await add_entry(service, factory_id, 3)
            await first.until_entries(3)
            await second.until_entries(3)
            assert first.numbers == await numbers_of(service, factory_id)
    assert first.numbers == await numbers_of(service, factory_id)


async def test_a_follower_that_leaves_hides_no_entry_from_those_who_stay(service: Service) -> None:
    factory_id = (await create_factory(service)).id
    async with ChartFollower(service.channel, factory_id) as stays:
        for goal in range(2, 6):
            async with ChartFollower(service.channel, factory_id) as leaves:
                await leaves.until_responses(1)
                await add_entry(service, factory_id, goal)
            await stays.until_entries(goal)
        assert stays.numbers == await numbers_of(service, factory_id)


async def until_streams(service: Service, count: int) -> None:
    """Wait until this number of streams follow."""
    await until(lambda: service.chart_poller.streams == count)


@pytest.mark.parametrize("error", [UnavailableError(), RuntimeError("unexpected"), asyncio.CancelledError()], ids=repr)
async def test_a_poll_that_fails_ends_no_stream(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    factory_id = (await create_factory(service)).id
    poll, failures = service.chart_poller._poll, 0

    async def fail_once() -> None:
        nonlocal failures
        if not failures:
            failures += 1
            raise error
        await poll()

    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_responses(1)
        await until_streams(service, 1)
        monkeypatch.setattr(service.chart_poller, "_poll", fail_once)
        await until(lambda: failures == 1)
        await add_entry(service, factory_id, 2)
        await follower.until_entries(2)


async def test_a_poll_that_hangs_is_repeated_and_ends_no_stream(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprocket_grpc.services.charts.followers.ANSWER_TIMEOUT_SECONDS", 1)
    factory_id = (await create_factory(service)).id
    poll, hung = service.chart_poller._poll, 0

    async def hang_once() -> None:
        nonlocal hung
        if not hung:
            hung += 1
            await asyncio.get_running_loop().create_future()
        await poll()

    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_responses(1)
        await until_streams(service, 1)
        monkeypatch.setattr(service.chart_poller, "_poll", hang_once)
        await add_entry(service, factory_id, 2)
        await follower.until_entries(2)
        assert hung == 1


async def test_an_outage_after_quiet_times_still_ends_a_stream(service: Service, database_url: str) -> None:
    factory_id = (await create_factory(service)).id
    async with ChartFollower(service.channel, factory_id) as follower:
        await follower.until_responses(3)  # two heartbeats
        async with open_transaction(database_url, "LOCK TABLE factory IN ACCESS EXCLUSIVE MODE"):
            with fails(grpc.StatusCode.UNAVAILABLE):
                await follower.ended()


async def test_a_followed_chart_does_not_end_at_the_call_timeout(service: Service, impatient: Service) -> None:
    factory_id = (await create_factory(service)).id
    async with (
        ChartFollower(impatient.channel, factory_id) as one,
        ChartsFollower(impatient.channel, [factory_id]) as many,
    ):
        await one.until_responses(4)  # three heartbeats, which take twice the call timeout
        await many.until_responses(4)
        await add_entry(service, factory_id, 2)
        await one.until_entries(2)
        await many.until_entries(2)


async def test_calls_time_out_again_after_quiet_times(service: Service, impatient: Service, database_url: str) -> None:
    made = await create_factory(service)
    for _ in range(2):
        async with open_transaction(database_url, "LOCK TABLE factory IN ACCESS EXCLUSIVE MODE"):
            with fails(grpc.StatusCode.DEADLINE_EXCEEDED) as failure:
                await get_factory(impatient, made.id)
            assert failure.info.reason == "ERROR_REASON_CALL_TIMEOUT"
        await asyncio.sleep(1.5 * CALL_TIMEOUT_SECONDS)  # no call is under way
