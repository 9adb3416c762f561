"""Failover: a primary crashes under load, and a standby is promoted."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest

from sprocket_grpc.config.database_url import normalise
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import DatabaseNotReachableError, wait_for_database
from tests.conformance.promises import refuses
from tests.support.cable import cable_to
from tests.support.load import NOT_SERVING, SERVING, assert_nothing_was_lost, load_on, prepare
from tests.support.locks import open_transaction, waiting_for
from tests.support.postgresql import PostgresServer, new_postgres, new_standby
from tests.support.processes import server_process
from tests.support.resources import create_location
from tests.support.service import running_service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SECRET = "correct-horse"  # noqa: S105  # a made-up secret, which must not leak  # pragma: allowlist secret

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DATABASE_UNAVAILABLE")


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        yield running


@pytest.fixture
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A synchronous standby: the primary acknowledges no commit without it."""
    with new_standby(primary) as running:
        primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.query("SELECT pg_reload_conf()")
        wait_until(lambda: primary.query("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        yield running


def url_of(*servers: PostgresServer) -> str:
    """Return a URL with all servers, in the format of SPROCKET_DATABASE_URL."""
    return f"postgresql://postgres@{','.join(server.address for server in servers)}/postgres"


async def test_the_service_fails_over_to_a_promoted_standby_and_loses_no_acknowledged_write(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    made = await prepare(primary.url)
    # The standby comes first in the URL: the service skips it until it is promoted.
    with server_process(url_of(standby, primary), health_interval_seconds="0.1", log_level="ERROR") as process:
        async with load_on(process.address, *made) as load:
            await asyncio.to_thread(primary.kill)
            await load.until_failures(100)
            await load.until_health(NOT_SERVING)
            await asyncio.to_thread(standby.promote)
            await load.until_acknowledged(100)
            await load.until_health(SERVING)
        assert set(load.failures) == {grpc.StatusCode.UNAVAILABLE}
        assert load.retried > 0
    await assert_nothing_was_lost(standby.url, load)


async def test_connections_to_a_primary_that_became_read_only_are_replaced(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    migrate.upgrade(primary.url)
    async with running_service(normalise(url_of(primary, standby)), Settings(pool_size=4)) as service:
        await asyncio.gather(*(create_location(service) for _ in range(20)))
        primary.query("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.query("SELECT pg_reload_conf()")
        wait_until(lambda: primary.query("SHOW default_transaction_read_only") == [("on",)])
        await asyncio.to_thread(standby.promote)
        with refuses(*UNAVAILABLE):
            await create_location(service)
        await asyncio.gather(*(create_location(service) for _ in range(20)))  # on new connections only
    assert standby.query("SELECT count(*) FROM location") == [(40,)]


async def test_a_host_that_is_not_the_primary_is_tried_once_not_for_each_connection(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    migrate.upgrade(primary.url)
    async with cable_to(standby.port) as cable:
        url = normalise(f"postgresql://postgres@127.0.0.1:{cable.port},{primary.address}/postgres")
        async with running_service(url, Settings(pool_size=4)) as service:
            await create_location(service)
            tried = cable.taken
            assert tried > 0
            async with open_transaction(primary.url, "LOCK TABLE location") as holder:
                creating = [asyncio.create_task(create_location(service)) for _ in range(20)]
                assert len(await waiting_for(holder, 4)) == 4  # the size of the pool
            await asyncio.gather(*creating)
            assert cable.taken == tried


def test_the_error_without_a_writable_host_names_hosts_and_reasons_but_no_password(
    primary: PostgresServer, standby: PostgresServer
) -> None:
    primary.kill()
    url = normalise(url_of(primary, standby).replace("postgres@", f"postgres:{SECRET}@"))
    with pytest.raises(DatabaseNotReachableError) as raised:
        wait_for_database(url, 0)
    text = str(raised.value)
    assert text.startswith(f"postgres on {primary.address}, {standby.address} did not answer within 0 s: ")
    assert "Connection refused" in text
    assert "session is read-only" in text
    assert SECRET not in text
