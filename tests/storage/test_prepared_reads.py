"""Point reads and pages bypass SQLAlchemy, and handle errors and lost connections in the same way."""

import asyncio

import grpc
import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.util import await_only, greenlet_spawn

from sprocket.v1.factory_pb2 import GetFactoryRequest, GetFactoryResponse
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.storage.postgres import database as database_module
from sprocket_grpc.storage.postgres import direct
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.postgres.reads import PreparedStatement, Read
from tests.support.books import query
from tests.support.errors import fails
from tests.support.locks import open_transaction, waiting_for
from tests.support.production import get_factory, update_factory
from tests.support.resources import create_factory
from tests.support.service import Service, running_service
from tests.support.waiting import PATIENCE_SECONDS, until

LOCK_ALL = "LOCK TABLE factory IN ACCESS EXCLUSIVE MODE"
STILL_THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:backends)"
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


async def until_gone(service: Service, backends: list[int]) -> None:
    """Wait until backends of PostgreSQL have ended."""

    async def are_gone() -> bool:
        return await query(service, STILL_THERE, backends=backends) == [(0,)]

    await until(are_gone)


async def test_connections_lost_between_reads_fail_no_read(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    await asyncio.gather(*(get_factory(service, made.id) for _ in range(20)))  # opens two or more connections
    with create_plain_engine(database_url).connect() as connection:
        connection.execute(KILL_ALL)
    for _ in range(20):
        assert await get_factory(service, made.id) == made


async def test_a_write_does_not_get_a_lost_connection_that_was_kept_for_reads(database_url: str) -> None:
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
    kept = service.database._direct
    lost = [await kept._take() for _ in range(4)]
    with create_plain_engine(database_url).connect() as connection:
        connection.execute(KILL_ALL)
    await until(lambda: all(each.is_lost for each in lost))
    others = [await kept._take() for _ in range(4)]
    assert {each._socket for each in lost} & {each._socket for each in others}
    for each in lost:
        await greenlet_spawn(each.check_in)
    async with asyncio.timeout(10):
        assert [await each.rows(PreparedStatement(text("SELECT 1")), {}) for each in others] == [[(1,)]] * 4
    for each in others:
        await greenlet_spawn(each.check_in)


async def test_a_read_of_a_missing_table_is_unavailable(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text("ALTER TABLE factory RENAME TO elsewhere"))
    with fails(grpc.StatusCode.UNAVAILABLE):
        await get_factory(service, made.id)
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO factory"))
    assert await get_factory(service, made.id) == made


async def test_a_read_that_exceeds_its_deadline_closes_its_connection(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    get = FactoryServiceStub(service.channel).GetFactory
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = [asyncio.create_task(_code(get(GetFactoryRequest(id=made.id), timeout=3))) for _ in range(3)]
        backends = await waiting_for(transaction, 3)
        assert await asyncio.gather(*reading) == [grpc.StatusCode.DEADLINE_EXCEEDED] * 3
        # Wait before the lock is released: a read that gets the lock would succeed and keep its connection.
        await until_gone(service, backends)
    for _ in range(20):
        assert await get_factory(service, made.id) == made


async def _code(call: "grpc.aio.UnaryUnaryCall[GetFactoryRequest, GetFactoryResponse]") -> grpc.StatusCode:
    return await call.code()


async def test_a_read_that_exceeds_the_statement_timeout_is_not_retried(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_plain_engine(database_url).begin() as connection:
        connection.execute(text(f"ALTER DATABASE {make_url(database_url).database} SET statement_timeout = '200ms'"))
    async with running_service(database_url) as service:
        made = await create_factory(service)
        async with open_transaction(database_url, LOCK_ALL):
            monkeypatch.setattr("sqlalchemy.Connection.execute", None)
            with fails(grpc.StatusCode.DEADLINE_EXCEEDED):
                await get_factory(service, made.id)


async def test_a_read_that_postgresql_does_not_answer_is_given_up_and_cancelled(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create_factory(service)
    monkeypatch.setattr(direct, "_LONGEST_SECONDS", 0.1)
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = asyncio.create_task(get_factory(service, made.id))
        backends = await waiting_for(transaction)
        with fails(grpc.StatusCode.UNAVAILABLE):
            await reading
        await until_gone(service, backends)
    assert await get_factory(service, made.id) == made


async def test_a_read_that_waits_too_long_for_a_connection_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create_factory(service)
    await service.database._direct.close()
    service.database._direct._is_closed = False
    monkeypatch.setattr(direct, "_LONGEST_SECONDS", 0.1)
    monkeypatch.setattr(service.database._direct, "_connect", lambda: await_only(asyncio.Event().wait()))
    async with asyncio.timeout(PATIENCE_SECONDS):
        with fails(grpc.StatusCode.UNAVAILABLE):
            await get_factory(service, made.id)


async def test_a_unit_of_work_that_postgresql_does_not_answer_is_given_up(
    service: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create_factory(service)
    monkeypatch.setattr(database_module, "_LONGEST_SECONDS", 0.1)
    async with open_transaction(database_url, LOCK_ALL):
        for _ in range(2):
            with fails(grpc.StatusCode.UNAVAILABLE):
                await update_factory(service, made.id, sprocket_production_goal=7)
    monkeypatch.undo()
    assert (await update_factory(service, made.id, sprocket_production_goal=7)).sprocket_production_goal == 7


async def test_a_point_read_bypasses_sqlalchemy(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await create_factory(service)
    monkeypatch.setattr("sqlalchemy.Connection.execute", None)
    assert await get_factory(service, made.id) == made


async def test_the_loss_of_a_connection_also_closes_those_kept_for_reads(service: Service, database_url: str) -> None:
    made = await create_factory(service)
    before = await _backends_of_reads(service, database_url, made.id)
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        writing = asyncio.create_task(update_factory(service, made.id, sprocket_production_goal=7))
        await transaction.execute(KILL_SOME, {"backends": await waiting_for(transaction)})
        with fails(grpc.StatusCode.UNAVAILABLE):
            await writing
    assert not before & await _backends_of_reads(service, database_url, made.id)


async def _backends_of_reads(service: Service, database_url: str, identifier: str) -> set[int]:
    async with open_transaction(database_url, LOCK_ALL) as transaction:
        reading = [asyncio.create_task(get_factory(service, identifier)) for _ in range(3)]
        backends = await waiting_for(transaction, 3)
    await asyncio.gather(*reading)
    return set(backends)


async def test_reads_and_writes_can_share_a_single_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(database_url, Settings(pool_size=1, pool_timeout_seconds=5)) as service:
        made = await create_factory(service)
        backends: set[object] = set()
        for goal in (1, 2, 3):
            assert await get_factory(service, made.id) == made
            made = await update_factory(service, made.id, sprocket_production_goal=goal)
            backends.update(await query(service, "SELECT pg_backend_pid()"))
        assert len(backends) == 1
        monkeypatch.setattr("sqlalchemy.Connection.execute", None)
        assert await get_factory(service, made.id) == made
        assert (service.database.used, service.database.idle) == (0, 1)


BACKEND: Read[int] = Read(PreparedStatement(text("SELECT pg_backend_pid()")), {}, lambda rows: int(rows[0][0]))


async def test_a_connection_opened_during_an_invalidation_of_the_pool_is_not_kept(
    service: Service,
) -> None:
    database = service.database
    await asyncio.gather(*(database.read(BACKEND) for _ in range(3)))
    await database._direct.close()
    other = await greenlet_spawn(database.engine.connect)
    made, go_on = asyncio.Event(), asyncio.Event()

    def hold(*_: object) -> None:
        made.set()
        await_only(go_on.wait())

    event.listen(database.engine, "connect", hold)
    reading = [asyncio.create_task(database.read(BACKEND)) for _ in range(9)]
    await made.wait()
    await greenlet_spawn(database.engine.pool._invalidate, other.connection, RuntimeError("not a primary any more"))
    go_on.set()
    before = await asyncio.gather(*reading)
    event.remove(database.engine, "connect", hold)
    await greenlet_spawn(other.close)
    assert await database.read(BACKEND) not in before


async def test_a_rollback_does_not_close_the_connection_with_prepared_reads(
    database_url: str,
) -> None:
    async with running_service(database_url, Settings(pool_size=1)) as service:
        database = service.database
        first = await database.read(BACKEND)
        for _ in range(6):  # from the sixth time on, psycopg has prepared the statement; a rollback discards these
            await database.run_in_transaction(lambda connection: connection.scalar(text("SELECT 1")))
        assert await database.read(BACKEND) == first
        await database.run_dry(lambda connection: connection.scalar(text("SELECT 1")))
        assert await database.read(BACKEND) == first
