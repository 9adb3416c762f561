"""Strangers, whose calls fail authentication, are limited by address, and honest callers behind it are not."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from sprocket.v1.location_pb2 import ListLocationsRequest
from sprocket_grpc.auth.permissions import Identity
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import StrangerLimitError, UnauthenticatedError
from sprocket_grpc.interceptors import strangers
from sprocket_grpc.interceptors.access_log import REFUSED_LINES
from sprocket_grpc.interceptors.call import network_address
from sprocket_grpc.interceptors.open_streams import Credentials
from sprocket_grpc.interceptors.strangers import Strangers
from sprocket_grpc.testing.postgres import execute
from tests.conformance.promises import refuses
from tests.support.callers import Metadata, bearer, create_key
from tests.support.log_lines import ACCESS
from tests.support.service import Service, running_service

PATIENCE_SECONDS = 60

LIMITED = grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_STRANGER_LIMIT"


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, Settings(api_keys=True, stranger_rate_limit="5/hour")) as running:
        yield running


async def list_locations(service: Service, metadata: Metadata) -> None:
    await service.locations.ListLocations(ListLocationsRequest(), metadata=metadata)


async def fail(service: Service, times: int, metadata: Metadata = ()) -> None:
    for _ in range(times):
        with refuses(grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED"):
            await list_locations(service, metadata)


@pytest.mark.parametrize("metadata", [(), bearer("sprocket_nonsense")], ids=["no credentials", "a wrong key"])
async def test_strangers_who_fail_too_often_are_refused_with_a_retry_delay(
    guarded: Service, metadata: Metadata
) -> None:
    await fail(guarded, 5, metadata)
    with refuses(*LIMITED) as failure:
        await list_locations(guarded, metadata)
    assert failure.detail(RetryInfo).retry_delay.ToNanoseconds() > 0


async def test_a_caller_whose_key_was_accepted_is_not_affected_by_strangers_at_its_address(
    guarded: Service, database_url: str
) -> None:
    known, unknown = (bearer(create_key(database_url, "read", name=name).text) for name in ("known", "unknown"))
    await list_locations(guarded, known)
    await fail(guarded, 5)
    await list_locations(guarded, known)
    with refuses(*LIMITED):
        await list_locations(guarded, unknown)


async def test_a_key_that_is_revoked_is_that_of_a_stranger(guarded: Service, database_url: str) -> None:
    made = create_key(database_url, "read")
    await list_locations(guarded, bearer(made.text))
    execute(database_url, f"UPDATE api_key SET revoke_time = now() WHERE id = '{made.id}'")  # noqa: S608  # an id of ours
    deadline = time.monotonic() + PATIENCE_SECONDS
    while await _code(guarded, bearer(made.text)) is not LIMITED[0]:
        assert time.monotonic() < deadline


async def _code(service: Service, metadata: Metadata) -> grpc.StatusCode:
    try:
        await list_locations(service, metadata)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def credentials(name: str) -> Credentials:
    return Credentials(f"Bearer {name}", None)


async def accept_all_but_guesses(authorization: str | bytes | None, _: bytes | None) -> Identity:
    """Authenticate at once."""
    if "guess" in str(authorization):
        raise UnauthenticatedError
    return Identity("tests", frozenset())


async def test_checks_that_have_ended_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_MOST_CHECKED", 2)
    known = Strangers("1000/second", accept_all_but_guesses)
    for number in range(5):
        with suppress(UnauthenticatedError):
            await known.identify("192.0.2.1", credentials(f"{'guess' if number % 2 else ''} {number}"))
    assert not known._checked  # of an address that is gone, nothing is kept


async def test_so_many_credentials_of_an_address_are_checked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_MOST_CHECKED", 2)
    answer = asyncio.Event()

    async def wait(authorization: str | bytes | None, certificate: bytes | None) -> Identity:
        await answer.wait()
        return await accept_all_but_guesses(authorization, certificate)

    known = Strangers("1000/second", wait)
    checks = [asyncio.create_task(known.identify("192.0.2.1", credentials(str(number)))) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StrangerLimitError):
        await known.identify("192.0.2.1", credentials("2"))
    checks.append(asyncio.create_task(known.identify("192.0.2.2", credentials("2"))))
    answer.set()
    await asyncio.gather(*checks)


async def test_the_oldest_of_too_many_accepted_credentials_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_MOST_KNOWN", 3)
    known = Strangers("1/year", accept_all_but_guesses)
    for number in range(4):
        await known.identify("192.0.2.1", credentials(str(number)))
    with pytest.raises(UnauthenticatedError):
        await known.identify("192.0.2.1", credentials("guess"))
    for number in range(1, 4):
        await known.identify("192.0.2.1", credentials(str(number)))
    with pytest.raises(StrangerLimitError):
        await known.identify("192.0.2.1", credentials("0"))


async def test_successful_calls_do_not_count(guarded: Service, database_url: str) -> None:
    for number in range(10):
        await list_locations(guarded, bearer(create_key(database_url, "read", name=f"key {number}").text))


async def test_refused_calls_are_a_few_log_lines_and_the_next_ones_say_how_many_were_left_out(
    guarded: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    count = 20 * REFUSED_LINES
    await asyncio.gather(*(_any(guarded) for _ in range(count)))
    await asyncio.sleep(1.1)  # the sample of the next second
    await _any(guarded)
    lines = [record for record in caplog.records if "RESOURCE_EXHAUSTED" in record.getMessage()]
    left_out = [getattr(record, "fields", {}).get("refused_without_line", 0) for record in lines]
    assert len(lines) < count / 2
    assert left_out[-1] > 0


async def _any(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await list_locations(service, ())


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:4711", "ipv4:192.0.2.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711", "ipv6:2001:db8:1:2::"),
        ("ipv6:%5B2001:db8::1:2:3:4%5D:4711", "ipv6:2001:db8::"),
        ("ipv6:%5B2001:db8::abcd%5D:4711", "ipv6:2001:db8::"),
        ("unix:", "unix"),
    ],
)
def test_the_address_of_a_caller_has_no_port_and_of_ipv6_is_the_network(peer: str, address: str) -> None:
    assert network_address(peer) == address
