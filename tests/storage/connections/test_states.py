"""The states of a connection, event by event: the table of `conversation.py`."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from sprocket_grpc.storage.postgres import conversation as conversation_module
from sprocket_grpc.storage.postgres.answers import LostConnectionError, NoAnswerError
from sprocket_grpc.storage.postgres.conversation import Conversation, State
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement, request
from tests.support.waiting import until

BACKEND = Statement(text("SELECT pg_backend_pid()"))
SLEEP = request(Statement(text("SELECT pg_sleep(600)")))
NAP = request(Statement(text("SELECT pg_sleep(0.05)")))
BEGIN, ECHO = request(Statement(text("BEGIN"))), request(Statement(text("SELECT CAST(42 AS bigint)")))
KILL = Statement(text("SELECT pg_terminate_backend(CAST(:backend AS integer))"))
LENGTH = Statement(text("SELECT CAST(length(CAST(:text AS text)) AS bigint)"))
LARGE = 20_000_000
"""More characters than the buffers of a socket hold."""

LONG_SECONDS = 60


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine settle connections."""
    monkeypatch.setattr(conversation_module, "_CANCEL_SECONDS", LONG_SECONDS)


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    database = Database(empty_database_url, pool_size=2)
    yield database
    await until(lambda: database.pool.used == 0)
    await database.close()


@pytest.fixture
async def conversation(database: Database) -> AsyncIterator[Conversation]:
    conversation = await database.pool.take()
    yield conversation
    database.pool.give_back(conversation)


async def backend_of(conversation: Conversation) -> int:
    [answer] = await conversation.ask([request(BACKEND)], LONG_SECONDS)
    [(backend,)] = conversation.rows(answer)
    return int(backend)


async def kill(database: Database, backend: int) -> None:
    await database.read(Read(KILL, {"backend": backend}, list))


async def abandoned(conversation: Conversation) -> None:
    """Ask something and leave before its answer comes."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await conversation.ask([ECHO], LONG_SECONDS)
    assert conversation.state is State.ABANDONED


async def test_a_connection_is_idle_before_and_after_an_answer(conversation: Conversation) -> None:
    for _ in range(2):
        assert conversation.state is State.IDLE
        assert conversation.is_clean
        await conversation.ask([ECHO, ECHO], LONG_SECONDS)


async def test_a_parameter_that_is_larger_than_the_buffers_of_a_socket_is_sent(conversation: Conversation) -> None:
    [answer] = await conversation.ask([request(LENGTH, {"text": "x" * LARGE})], LONG_SECONDS)
    assert conversation.rows(answer) == [(LARGE,)]


async def test_a_connection_whose_caller_leaves_while_a_parameter_is_sent_serves_the_next_one(
    conversation: Conversation,
) -> None:
    backend = await backend_of(conversation)
    with pytest.raises(NoAnswerError):
        await conversation.ask([request(LENGTH, {"text": "x" * LARGE})], 0)
    await conversation.settle()
    assert await backend_of(conversation) == backend


async def test_a_connection_that_was_asked_takes_no_other_question(conversation: Conversation) -> None:
    asking = asyncio.create_task(conversation.ask([NAP], LONG_SECONDS))
    await until(lambda: conversation.state is State.ASKED)
    with pytest.raises(RuntimeError):
        await conversation.ask([ECHO], LONG_SECONDS)
    await asking
    assert conversation.is_clean


async def test_a_connection_whose_caller_has_left_takes_no_question_until_it_is_settled(
    conversation: Conversation,
) -> None:
    await abandoned(conversation)
    with pytest.raises(RuntimeError):
        await conversation.ask([ECHO], LONG_SECONDS)
    await conversation.settle()
    assert conversation.is_clean
    assert await backend_of(conversation)


async def test_a_settled_connection_is_the_same_one_and_its_statement_was_cancelled(conversation: Conversation) -> None:
    backend = await backend_of(conversation)
    with pytest.raises(NoAnswerError):
        await conversation.ask([BEGIN, SLEEP, ECHO], 0)
    assert conversation.state is State.ABANDONED
    await conversation.settle()
    assert conversation.is_clean
    assert await backend_of(conversation) == backend


async def test_a_connection_in_a_transaction_is_settled_by_a_rollback(conversation: Conversation) -> None:
    backend = await backend_of(conversation)
    await conversation.ask([BEGIN], LONG_SECONDS)
    assert (conversation.state, conversation.is_clean) == (State.IDLE, False)
    await conversation.settle()
    assert conversation.is_clean
    assert await backend_of(conversation) == backend


async def test_an_idle_connection_that_ends_is_lost(database: Database, conversation: Conversation) -> None:
    await kill(database, await backend_of(conversation))
    await until(lambda: conversation.state is State.LOST)
    with pytest.raises(LostConnectionError):
        await conversation.ask([ECHO], LONG_SECONDS)


async def test_a_connection_that_ends_before_its_answer_is_lost(database: Database, conversation: Conversation) -> None:
    backend = await backend_of(conversation)
    asking = asyncio.create_task(conversation.ask([SLEEP], LONG_SECONDS))
    await until(lambda: conversation.state is State.ASKED)
    await kill(database, backend)
    with pytest.raises(LostConnectionError):
        await asking
    assert conversation.state is State.LOST


async def test_an_abandoned_connection_that_ends_is_lost(database: Database, conversation: Conversation) -> None:
    backend = await backend_of(conversation)
    with pytest.raises(NoAnswerError):
        await conversation.ask([SLEEP], 0)
    await kill(database, backend)
    await until(lambda: conversation.state is State.LOST)
    await conversation.settle()
    assert conversation.state is State.LOST


async def test_the_connection_of_a_cancelled_transaction_is_kept(empty_database_url: str) -> None:
    database = Database(empty_database_url, pool_size=1)
    read: Read[int] = Read(BACKEND, {}, lambda rows: int(rows[0][0]))
    backend = await database.read(read)
    asking = asyncio.create_task(
        database.run_in_transaction(lambda connection: connection.execute(SLEEP.statement).all())
    )
    await until(lambda: database.pool.used == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: database.pool.used == 0)
    assert await database.read(read) == backend
    await database.close()
