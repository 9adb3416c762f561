"""The migration that creates the pages of charts: who may write them, and the way back."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.migrations import BEFORE_PAGES

pytestmark = pytest.mark.slow


def entries(connection: Connection) -> Sequence[Any]:
    return connection.execute(text("SELECT * FROM chart_entry ORDER BY factory_id, sequence")).all()


def is_enabled(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT count(*) FROM chart_packing")))


def test_packing_is_enabled_in_a_new_database_only(empty_database_url: str) -> None:
    engine = create_plain_engine(empty_database_url)
    migrate.upgrade(empty_database_url)
    with engine.begin() as connection:
        assert is_enabled(connection)
        seed(connection)
    migrate.downgrade(empty_database_url, BEFORE_PAGES)
    migrate.upgrade(empty_database_url)
    with engine.connect() as connection:
        assert not is_enabled(connection)


def test_reverting_it_turns_pages_into_rows_again(database_url: str) -> None:
    engine = create_plain_engine(database_url)
    with engine.begin() as connection:
        seed(connection)
        before = entries(connection)
        connection.execute(text("SELECT pack_chart(id, 8, 0), pack_chart(id, 8, 0) FROM factory"))
        assert len(entries(connection)) == len(before) - 3 * 16
    migrate.downgrade(database_url, BEFORE_PAGES)
    with engine.connect() as connection:
        assert entries(connection) == before
