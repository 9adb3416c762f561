"""Connections: what ends one, what is retried on another one, and what becomes of the others."""

import asyncio

import grpc
import psycopg
import pytest
from sqlalchemy import make_url, text

from sprocket.v1.factory_pb2 import GetFactoryRequest, GetFactoryResponse
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres import database as database_module
from sprocket_grpc.storage.postgres import pool as pool_module
from sprocket_grpc.storage.postgres.conversation import Conversation, State
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement, request
from tests.support.books import query
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.production import get_factory, update_factory
from tests.support.resources import create_factory
from tests.support.service import Service, running_service
from tests.support.statements import statements_of
from tests.support.waiting import PATIENCE_SECONDS, until

LOCK_ALL = "LOCK TABLE factory IN ACCESS EXCLUSIVE MODE"
OTHERS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")
KILL_SOME = text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:backends AS int[])) AS pid")
KILL_ALL = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
""")


async def until_all_others_have_disconnected(url: str) -> None:
    """Wait until all other connections to a database have ended."""
    engine = create_plain_engine(url).execution_options(isolation_level="AUTOCOMMIT")  # a transaction caches the view
    with engine.connect() as connection:
        await until(lambda: not connection.scalar(OTHERS))


async def test_connections_lost_between_reads_fail_no_read(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    await asyncio.gather(*(get_factory(service, made.id) for _ in range(20)))  # opens two or more connections
    with create_plain_engine(database_url).connect() as connection:
        connection.execute(KILL_ALL)
    for _ in range(20):
        assert await get_factory(service, made.id) == made


async def test_a_write_does_not_get_a_lost_connection(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service:
        made = await create_factory(service)
        await get_factory(service, made.id)
        with create_plain_engine(database_url).connect() as connection:
            connection.execute(KILL_ALL)
        await until_all_others_have_disconnected(database_url)
        await asyncio.sleep(0.05)  # until the service has noticed the end of the connection
        assert (await update_factory(service, made.id, sprocket_production_goal=7)).sprocket_production_goal == 7


async def test_a_stopped_server_leaves_no_connections(database_url: str) -> None:
    async with running_service(database_url) as service:
        made = await create_factory(service)
        await asyncio.gather(*(get_factory(service, made.id) for _ in range(20)))
    await until_all_others_have_disconnected(database_url)


async def test_a_read_that_loses_its_connection_is_retried_on_another_one(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = [asyncio.create_task(get_factory(service, made.id)) for _ in range(3)]
        backends = await waiting_for(transaction, 3)
        await transaction.execute(KILL_SOME, {"backends": backends})

        async def others_wait() -> bool:
            return not set(await waiting_for(transaction, 3)) & set(backends)

        await until(others_wait)
    assert await asyncio.gather(*reading) == [made] * 3


async def test_returning_a_lost_connection_does_not_affect_new_ones_with_its_file_descriptor(
    service: Service, database_url: str
) -> None:
    pool = service.database.pool
    lost = [await pool.take() for _ in range(4)]
    with create_plain_engine(database_url).connect() as connection:
        connection.execute(KILL_ALL)
    await until(lambda: all(each.state is State.LOST for each in lost))
    others = [await pool.take() for _ in range(4)]
    assert {each._socket for each in lost} & {each._socket for each in others}
    for each in lost:
        pool.give_back(each)
    for each in others:
        [answer] = await each.ask([request(text("SELECT 1"))], 10)
        assert each.rows(answer) == [(1,)]
        pool.give_back(each)


async def test_a_read_of_a_missing_table_is_unavailable(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text("ALTER TABLE factory RENAME TO elsewhere"))
    with fails(grpc.StatusCode.UNAVAILABLE):
        await get_factory(service, made.id)
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO factory"))
    assert await get_factory(service, made.id) == made


async def test_a_read_that_exceeds_its_deadline_is_cancelled_and_keeps_its_connection(
    service: Service, database_url: str
) -> None:
    made = await create_factory(service)
    get = FactoryServiceStub(service.channel).GetFactory
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = [asyncio.create_task(_code(get(GetFactoryRequest(id=made.id), timeout=3))) for _ in range(3)]
        backends = await waiting_for(transaction, 3)
        assert await asyncio.gather(*reading) == [grpc.StatusCode.DEADLINE_EXCEEDED] * 3
        await until(lambda: service.database.pool.used == 0)
        assert await waiting_for(transaction, 0) == []
    assert set(backends) <= await _backends_of_reads(service, database_url, made.id, len(backends))


async def _code(call: "grpc.aio.UnaryUnaryCall[GetFactoryRequest, GetFactoryResponse]") -> grpc.StatusCode:
    return await call.code()


async def test_a_read_that_exceeds_the_statement_timeout_is_not_retried(
    database_url: str,
) -> None:
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text(f"ALTER DATABASE {make_url(database_url).database} SET statement_timeout = '200ms'"))
    async with running_service(database_url) as service:
        made = await create_factory(service)
        async with open_transaction(database_url, LOCK_ALL):
            with statements_of(service.database) as sent, fails(grpc.StatusCode.DEADLINE_EXCEEDED):
                await get_factory(service, made.id)
            assert len(sent) == 1


async def test_a_read_that_postgresql_does_not_answer_is_given_up_and_cancelled(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create_factory(service)
    monkeypatch.setattr(database_module, "_READ_SECONDS", 0.1)
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = asyncio.create_task(get_factory(service, made.id))
        await waiting_for(transaction)
        with fails(grpc.StatusCode.UNAVAILABLE):
            await reading
        await until(lambda: service.database.pool.used == 0)
        assert await waiting_for(transaction, 0) == []
    monkeypatch.undo()
    assert await get_factory(service, made.id) == made


async def test_a_read_that_waits_too_long_for_a_connection_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create_factory(service)
    service.database.pool.renew()
    monkeypatch.setattr(pool_module, "_OPEN_SECONDS", 0.1)
    monkeypatch.setattr(service.database.pool._connector, "open", asyncio.Event().wait)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with fails(grpc.StatusCode.UNAVAILABLE):
            await get_factory(service, made.id)


async def test_a_unit_of_work_that_postgresql_does_not_answer_is_given_up(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create_factory(service)
    monkeypatch.setattr(database_module, "_UNIT_SECONDS", 0.1)
    async with open_transaction(database_url, LOCK_ALL):
        for _ in range(2):
            with fails(grpc.StatusCode.UNAVAILABLE):
                await update_factory(service, made.id, sprocket_production_goal=7)
    monkeypatch.undo()
    assert (await update_factory(service, made.id, sprocket_production_goal=7)).sprocket_production_goal == 7


async def test_the_loss_of_a_connection_also_closes_the_others(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    before = await _backends_of_reads(service, database_url, made.id, 3)
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        writing = asyncio.create_task(update_factory(service, made.id, sprocket_production_goal=7))
        await transaction.execute(KILL_SOME, {"backends": await waiting_for(transaction)})
        with fails(grpc.StatusCode.UNAVAILABLE):
            await writing
    assert not before & await _backends_of_reads(service, database_url, made.id, 3)


async def _backends_of_reads(service: Service, database_url: str, identifier: str, number: int) -> set[int]:
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = [asyncio.create_task(get_factory(service, identifier)) for _ in range(number)]
        backends = await waiting_for(transaction, number)
    await asyncio.gather(*reading)
    return set(backends)


async def test_reads_and_writes_share_a_single_connection(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=1, pool_timeout_seconds=5)) as service:
        made = await create_factory(service)
        backends: set[object] = set()
        for goal in (1, 2, 3):
            assert await get_factory(service, made.id) == made
            made = await update_factory(service, made.id, sprocket_production_goal=goal)
            backends.update(await query(service, "SELECT pg_backend_pid()"))
        assert len(backends) == 1
        assert (service.database.pool.used, service.database.pool.idle) == (0, 1)


BACKEND: Read[int] = Read(Statement(text("SELECT pg_backend_pid()")), {}, lambda rows: int(rows[0][0]))


async def test_a_connection_that_was_being_opened_when_all_were_renewed_is_not_kept(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = service.database
    database.pool.renew()
    opened, go_on = asyncio.Event(), asyncio.Event()
    connect = database.pool._connector.open

    async def hold() -> Conversation:
        conversation = await connect()
        opened.set()
        await go_on.wait()
        return conversation

    monkeypatch.setattr(database.pool._connector, "open", hold)
    reading = [asyncio.create_task(database.read(BACKEND)) for _ in range(9)]
    await opened.wait()
    database.pool.renew()
    go_on.set()
    before = await asyncio.gather(*reading)
    assert await database.read(BACKEND) not in before


async def test_a_failed_transaction_and_a_dry_run_keep_their_connection(database_url: str) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service:
        database = service.database
        first = await database.read(BACKEND)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.run_in_transaction(lambda connection: connection.scalar(text("SELECT 1 / 0")))
        assert await database.read(BACKEND) == first
        await database.run_dry(lambda connection: connection.scalar(text("SELECT 1")))
        assert await database.read(BACKEND) == first
