"""Several hosts of a database, of which one hangs: it accepts connections, and answers nothing."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest

from sprocket_grpc.config.database_url import normalise
from sprocket_grpc.storage.postgres import hosts
from sprocket_grpc.storage.postgres.connector import Connector
from tests.support.cable import Cable
from tests.support.ports import free_port
from tests.support.postgresql import PostgresServer, new_postgres
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

FAR_LONGER = 10 * PATIENCE_SECONDS


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresServer]:
    with new_postgres() as running:
        yield running


@contextmanager
def hung_host() -> Iterator[str]:
    """Listen, so that the kernel accepts connections, and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def connector(*addresses: str) -> Connector:
    url = f"postgresql://postgres@{','.join(addresses)}/postgres?connect_timeout={FAR_LONGER}"
    return Connector(normalise(url), prepares=True)


async def test_a_host_that_hangs_does_not_delay_the_connection_to_another_one(postgresql: PostgresServer) -> None:
    with hung_host() as hung:
        async with asyncio.timeout(PATIENCE_SECONDS):
            conversation = await connector(hung, hung, postgresql.address).open()
        conversation.close()


async def test_a_host_that_begins_to_serve_is_found_while_another_one_still_hangs(postgresql: PostgresServer) -> None:
    cable = Cable(postgresql.port)  # it refuses connections until it is plugged in
    with hung_host() as hung:
        opening = asyncio.create_task(connector(hung, f"127.0.0.1:{cable.port}").open())
        await asyncio.sleep(2 * hosts._HEAD_START_SECONDS)
        assert not opening.done()
        await cable.plug_in()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                (await opening).close()
        finally:
            await cable.unplug()


async def test_the_host_that_was_reached_last_is_asked_alone_while_it_answers(
    postgresql: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "_HEAD_START_SECONDS", PATIENCE_SECONDS)
    connecting = connector(f"127.0.0.1:{free_port()}", postgresql.address)
    (await connecting.open()).close()
    monkeypatch.setattr(hosts, "_first_of", None)
    (await connecting.open()).close()


async def test_when_all_hosts_refuse_the_attempt_fails() -> None:
    with pytest.raises(psycopg.OperationalError):
        await connector(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}").open()


async def test_of_two_hosts_that_answer_at_once_one_connection_is_closed(postgresql: PostgresServer) -> None:
    opened: list[hosts.Driver] = []
    both = asyncio.Barrier(2)

    async def connect() -> hosts.Driver:
        opened.append(driver := await psycopg.AsyncConnection.connect(postgresql.url.replace("+psycopg", "")))
        await both.wait()
        return driver

    chosen = await hosts._first_of([connect, partial(connect)])
    assert sorted(driver.closed for driver in opened) == [False, True]
    assert not chosen.closed
    await chosen.close()


def test_each_host_keeps_its_own_address_and_port() -> None:
    url = "postgresql://postgres@one:1,two:2/postgres?hostaddr=127.0.0.1,127.0.0.2"
    assert Connector(normalise(url), prepares=True)._last_first() == [
        {"host": "one", "hostaddr": "127.0.0.1", "port": "1"},
        {"host": "two", "hostaddr": "127.0.0.2", "port": "2"},
    ]
