"""Migrations that make an index: writers go on meanwhile."""

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import Script
from sqlalchemy import text

from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.migrations import BEFORE_INDEXES, SCRIPTS
from tests.support.waiting import wait_until_blocked

GROWING = {"chart_entry", "sprocket"}
"""Tables of millions of rows."""

WRITE = text("LOCK TABLE sprocket IN ROW EXCLUSIVE MODE NOWAIT")


@pytest.mark.slow
def test_writes_go_on_while_an_index_waits_for_a_transaction(database_url: str) -> None:
    migrate.downgrade(database_url, BEFORE_INDEXES)
    engine = create_plain_engine(database_url)
    with ThreadPoolExecutor(1) as thread:
        with engine.connect() as writer:
            writer.execute(WRITE)
            migrating = thread.submit(migrate.upgrade, database_url)
            wait_until_blocked(database_url, 1)
            with engine.connect() as other:
                other.execute(WRITE)  # not behind the migration
        migrating.result()
    migrate.check(database_url)


@pytest.mark.parametrize("migration", SCRIPTS[1:], ids=lambda script: str(script.revision))
def test_an_index_of_a_growing_table_is_made_concurrently(migration: Script) -> None:
    for call in (each for each in ast.walk(ast.parse(Path(migration.path).read_text())) if isinstance(each, ast.Call)):
        if ast.unparse(call.func) == "op.create_index" and ast.literal_eval(call.args[1]) in GROWING:
            assert {each.arg: ast.unparse(each.value) for each in call.keywords}["postgresql_concurrently"] == "True"
