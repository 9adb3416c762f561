"""Listens to the statements that a service sends to its database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

from psycopg.pq.abc import PGresult

from sprocket_grpc.storage.postgres.conversation import Conversation
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.statements import Request

_OF_TRANSACTIONS = {"BEGIN", "COMMIT", "ROLLBACK"}


class Sent(NamedTuple):
    """A statement that was sent.

    Attributes:
        text: The statement.
        parameters: Its parameters, in PostgreSQL's text format.
    """

    text: str
    parameters: Sequence[bytes | None]


@contextmanager
def statements_of(database: Database) -> Iterator[list[Sent]]:
    """Collect the statements of a database until the block ends, but those that begin and end transactions."""
    sent: list[Sent] = []
    take, ask = database.pool.take, Conversation.ask
    taken: set[int] = set()

    async def noted_take() -> Conversation:
        conversation = await take()
        taken.add(id(conversation))
        return conversation

    async def noted_ask(self: Conversation, requests: Sequence[Request], seconds: float) -> list[PGresult]:
        if id(self) in taken:
            several = [Sent(each.statement.text.decode(), each.values) for each in requests]
            sent.extend(each for each in several if each.text.split()[0] not in _OF_TRANSACTIONS)
        return await ask(self, requests, seconds)

    with patch.object(database.pool, "take", noted_take), patch.object(Conversation, "ask", noted_ask):
        yield sent
