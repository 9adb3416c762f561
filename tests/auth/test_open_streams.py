"""Open streams end when their credentials are no longer valid, whether or not anything is sent on them."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from sprocket.v1.factory_pb2 import FollowFactoryChartsRequest
from sprocket_grpc.auth import api_key as keys
from sprocket_grpc.auth.permissions import Identity
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import OutOfReachError, PermissionDeniedError, UnauthenticatedError, UnavailableError
from sprocket_grpc.interceptors import open_streams
from sprocket_grpc.interceptors.open_streams import Credentials, OpenStreams
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.conformance.promises import refuses
from tests.support.callers import AUDIENCE, ISSUER, Metadata, bearer, create_key, key_set, signing_key
from tests.support.resources import SPROCKET, create_factory
from tests.support.service import Service, running_service

PATIENCE_SECONDS = 60
PROMPT_SECONDS = 20  # ten times of what is promised, for busy machines
PERMISSION_DENIED = (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED")
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")

KEY = signing_key("ES256")
CREDENTIALS = Credentials("Bearer of tests", None)
READER = Identity("api-key:tests", frozenset({"sprocket.factories.read"}))

Check = Callable[[], Identity]


@pytest.fixture
async def guarded(database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A server that requires keys or tokens and sends no heartbeats, on the database of `service`."""
    (tmp_path / "keys.json").write_text(key_set(KEY))
    settings = Settings(
        api_keys=True,
        jwt_jwks=str(tmp_path / "keys.json"),
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        follow_progress_seconds=3600,
    )
    async with running_service(database_url, settings) as running:
        yield running


def change(url: str, statement: str) -> None:
    with create_plain_engine(url).begin() as connection:
        connection.execute(text(statement))


async def make_sprockets(service: Service, factory_id: str) -> None:
    while True:
        await SPROCKET.create(service, factory_id=factory_id)


@asynccontextmanager
async def busy(service: Service, factory_id: str, *, is_busy: bool) -> AsyncIterator[None]:
    """Add entries to a chart without a pause until the block ends."""
    work = asyncio.create_task(make_sprockets(service, factory_id) if is_busy else asyncio.sleep(0))
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def follow(
    service: Service,
    factory_id: str,
    caller: Metadata,
    then: Callable[[], object],
    expected: tuple[grpc.StatusCode, str] = UNAUTHENTICATED,
) -> float:
    """Follow a chart, do something after the first response, expect an error, and return the seconds in between."""
    request = FollowFactoryChartsRequest(factory_ids=[factory_id])
    responses = aiter(service.factories.FollowFactoryCharts(request, metadata=caller, timeout=PATIENCE_SECONDS))
    await anext(responses)
    await asyncio.to_thread(then)
    began = time.monotonic()
    with refuses(*expected):
        async for _ in responses:
            pass
    return time.monotonic() - began


@pytest.mark.parametrize("is_busy", [False, True], ids=["quiet", "busy"])
@pytest.mark.parametrize(
    "end",
    ["UPDATE api_key SET revoke_time = now()", "UPDATE api_key SET expire_time = now()"],
    ids=["revoked", "expired"],
)
async def test_a_key_that_is_revoked_or_expires_ends_an_open_stream(
    service: Service, guarded: Service, database_url: str, end: str, *, is_busy: bool
) -> None:
    factory = await create_factory(service)
    caller = bearer(create_key(database_url, "read").text)
    async with busy(service, factory.id, is_busy=is_busy):
        took = await follow(guarded, factory.id, caller, lambda: change(database_url, end))
    assert took < PROMPT_SECONDS


@pytest.mark.parametrize(
    "change_key",
    [
        "UPDATE api_key SET rights = '{factories.write}'",
        "UPDATE api_key SET factory_ids = ARRAY[gen_random_uuid()]",
    ],
    ids=["permission", "factory"],
)
async def test_a_key_that_loses_what_a_stream_requires_ends_it(
    service: Service, guarded: Service, database_url: str, change_key: str
) -> None:
    factory = await create_factory(service)
    caller = bearer(create_key(database_url, "read").text)
    await follow(guarded, factory.id, caller, lambda: change(database_url, change_key), PERMISSION_DENIED)


async def test_a_token_that_expires_ends_an_open_stream(service: Service, guarded: Service) -> None:
    factory = await create_factory(service)
    expires = math.ceil(time.time()) + 3  # well before the 30 s of tolerance for clocks
    caller = bearer(KEY.token(exp=expires))
    await follow(guarded, factory.id, caller, lambda: time.sleep(max(0, expires - time.time())))
    assert 0 <= time.time() - expires < PROMPT_SECONDS


def test_a_stream_ends_within_the_promised_two_seconds() -> None:
    assert keys.CACHE_SECONDS + open_streams.RECHECK_SECONDS < 2


# The checks alone.


class Identities:
    """Authenticates by what a test sets, and counts."""

    def __init__(self) -> None:
        self.checked = 0
        self.now: Check = lambda: READER
        self._checked = asyncio.Event()

    async def identify(self, _authorization: str | bytes | None, _certificate_pem: bytes | None) -> Identity:
        self.checked += 1
        self._checked.set()
        return self.now()

    async def checks(self, count: int) -> None:
        """Wait for a number of checks from now on."""
        wanted = self.checked + count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.checked < wanted:
                self._checked.clear()
                await self._checked.wait()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_streams, "RECHECK_SECONDS", 0.01)


@pytest.fixture
def identities(often: None) -> Identities:  # noqa: ARG001  # sets the interval
    return Identities()


async def forever() -> None:
    await asyncio.Event().wait()


def start(streams: OpenStreams, stream: Callable[[], Awaitable[None]] = forever) -> "asyncio.Task[None]":
    return asyncio.create_task(streams.run(CREDENTIALS, "sprocket.factories.read", READER, stream))


def raises(error: Exception) -> Check:
    def check() -> Identity:
        raise error

    return check


async def test_a_thousand_streams_with_one_key_share_one_check(identities: Identities) -> None:
    streams = OpenStreams(identities.identify)
    opened = [start(streams) for _ in range(1000)]
    await identities.checks(3)
    assert len(streams._checks) == 1
    assert identities.checked < 10
    identities.now = raises(UnauthenticatedError())
    ends = await asyncio.wait_for(asyncio.gather(*opened, return_exceptions=True), PATIENCE_SECONDS)
    assert {type(end) for end in ends} == {UnauthenticatedError}
    assert not streams._checks


async def test_a_permission_that_is_removed_ends_the_streams_that_require_it(identities: Identities) -> None:
    opened = start(OpenStreams(identities.identify))
    await identities.checks(2)
    identities.now = lambda: Identity("api-key:tests", frozenset())
    with pytest.raises(PermissionDeniedError, match=r"sprocket\.factories\.read"):
        await asyncio.wait_for(opened, PATIENCE_SECONDS)


async def test_a_limit_to_fewer_factories_ends_the_streams_of_a_key(identities: Identities) -> None:
    streams = OpenStreams(identities.identify)
    limited = replace(READER, factories=frozenset({"a", "b"}))
    opened = asyncio.create_task(streams.run(CREDENTIALS, "sprocket.factories.read", limited, forever))
    identities.now = lambda: replace(READER, factories=frozenset({"a", "b", "c"}))
    await identities.checks(2)
    assert not opened.done()
    identities.now = lambda: replace(READER, factories=frozenset({"a", "c"}))
    with pytest.raises(OutOfReachError):
        await asyncio.wait_for(opened, PATIENCE_SECONDS)


@pytest.mark.parametrize("error", [UnavailableError(), TimeoutError(), ValueError("unexpected")], ids=repr)
async def test_a_check_that_fails_ends_neither_the_stream_nor_the_checks(
    identities: Identities, error: Exception
) -> None:
    opened = start(OpenStreams(identities.identify))
    identities.now = raises(error)
    await identities.checks(3)
    assert not opened.done()
    identities.now = raises(UnauthenticatedError())
    with pytest.raises(UnauthenticatedError):
        await asyncio.wait_for(opened, PATIENCE_SECONDS)


@pytest.mark.usefixtures("often")
async def test_a_check_without_an_answer_is_given_up_and_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_streams, "_CHECK_TIMEOUT_SECONDS", 0.01)
    asked = 0

    async def identify(_authorization: str | bytes | None, _certificate_pem: bytes | None) -> Identity:
        nonlocal asked
        asked += 1
        if asked < 3:
            await forever()
        raise UnauthenticatedError

    with pytest.raises(UnauthenticatedError):
        await asyncio.wait_for(start(OpenStreams(identify)), PATIENCE_SECONDS)
    assert asked == 3


async def test_no_check_is_left_when_the_streams_are_over(identities: Identities) -> None:
    streams = OpenStreams(identities.identify)
    first, second = start(streams), start(streams)
    await identities.checks(1)
    [checks] = streams._checks.values()
    for opened in (first, second):
        opened.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opened
    assert not streams._checks
    await asyncio.wait([checks.task], timeout=PATIENCE_SECONDS)
    assert checks.task.cancelled()


async def test_a_time_out_inside_of_a_stream_stays_what_it_is(identities: Identities) -> None:
    async def stream() -> None:
        raise TimeoutError("inside")

    with pytest.raises(TimeoutError, match="inside"):
        await start(OpenStreams(identities.identify), stream)
