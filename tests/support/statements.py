"""Listens to the statements that a service sends to its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import event

from sprocket_grpc.storage.postgres.database import Database


class Sent(NamedTuple):
    """A statement that was sent.

    Attributes:
        text: The statement.
        parameters: Its parameters as the driver gets them.
    """

    text: str
    parameters: Any


@contextmanager
def statements_of(database: Database) -> Iterator[list[Sent]]:
    """Collect the statements of a database until the block ends. Prepared reads go by SQLAlchemy meanwhile."""
    sent: list[Sent] = []

    def listen(_: object, __: object, text: str, parameters: object, *___: object) -> None:
        sent.append(Sent(text, parameters))

    direct, database.reads_directly = database.reads_directly, False
    event.listen(database.engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(database.engine, "before_cursor_execute", listen)
        database.reads_directly = direct
