"""The migration that creates the pages of charts: who may write them, and the way back."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests.support.migrations import BEFORE_PAGES
from tests.support.waiting import wait_until_blocked

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


def test_nothing_is_packed_while_it_is_reverted(database_url: str) -> None:
    engine = create_plain_engine(database_url)
    with engine.begin() as connection:
        seed(connection)
        before = entries(connection)
        connection.execute(text("SELECT pack_chart(id, 8, 0) FROM factory"))
    with ThreadPoolExecutor() as threads, engine.begin() as blocker:
        blocker.execute(text("LOCK TABLE chart_entry IN SHARE MODE"))
        reverting = threads.submit(migrate.downgrade, database_url, BEFORE_PAGES)
        wait_until_blocked(database_url, 1)
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            assert connection.scalars(text("SELECT pack_chart(id, 8, 0) FROM factory")).all() == [False] * 3
        blocker.rollback()
        reverting.result()
    with engine.connect() as connection:
        assert entries(connection) == before


def test_a_damaged_page_is_not_turned_into_rows(database_url: str) -> None:
    engine = create_plain_engine(database_url)
    with engine.begin() as connection:
        seed(connection)
        connection.execute(text("SELECT pack_chart(id, 8, 0) FROM factory"))
        connection.execute(text("UPDATE chart_page SET wire = set_byte(wire, 5, get_byte(wire, 5) # 1)"))
    with pytest.raises(ValueError, match="is damaged"):
        migrate.downgrade(database_url, BEFORE_PAGES)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM chart_page")) == 3
