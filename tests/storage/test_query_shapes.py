"""Queries that differ in their values only have one statement, which is compiled and prepared once."""

from typing import Any

import pytest

from sprocket_grpc.query.filter import parse_filter
from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import parse_order_by
from sprocket_grpc.services.sprocket import SPROCKET
from sprocket_grpc.storage.postgres import statements
from sprocket_grpc.storage.postgres.reads import Read
from sprocket_grpc.storage.postgres.statements import Statement, request
from sprocket_grpc.storage.sprocket import SprocketStore

STORE = SprocketStore()
ID, OTHER_ID = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"


def text_of(read: Read[Any]) -> bytes:
    return request(read.statement, read.parameters).statement.text


def query(written: str, order: str = "") -> Query:
    return Query(parse_filter(written, SPROCKET.kinds), parse_order_by(order, SPROCKET.kinds))


@pytest.mark.parametrize(
    ("written", "other"),
    [
        (f"factory_id = {ID}", f"factory_id = {OTHER_ID}"),
        (f'factory_id = {ID} AND display_name > "a"', f'factory_id = {OTHER_ID} AND display_name > "b"'),
        (
            f"NOT (id = {ID} OR create_time < 2026-01-01T00:00:00Z)",
            f"NOT (id = {OTHER_ID} OR create_time < 2020-01-01T00:00:00Z)",
        ),
    ],
)
def test_pages_and_counts_of_other_values_have_the_same_statement(written: str, other: str) -> None:
    one, two = query(written, "display_name desc"), query(other, "display_name desc")
    for after, next_after in ((None, None), (["a", ID], ["b", OTHER_ID])):
        read, next_read = STORE.page(one, after, 10), STORE.page(two, next_after, 20)
        assert isinstance(read.statement, Statement)
        assert read.statement is next_read.statement
        assert read.parameters != next_read.parameters
    assert STORE.count(one).statement is STORE.count(two).statement


def test_queries_of_other_shapes_have_other_statements() -> None:
    written = f"factory_id = {ID}"
    texts = [
        text_of(STORE.page(query(written), None, 10)),
        text_of(STORE.page(query(written), [ID], 10)),
        text_of(STORE.page(query(written, "id desc"), None, 10)),
        text_of(STORE.page(query(f"sprocket_type_id = {ID}"), None, 10)),
        text_of(STORE.page(query(f"factory_id != {ID}"), None, 10)),
        text_of(STORE.page(query(f"NOT {written}"), None, 10)),
        text_of(STORE.count(query(written))),
    ]
    assert len({*texts}) == len(texts)


@pytest.mark.parametrize("word", ["nut", "kiss", "ß", "%"])
def test_a_text_that_is_searched_is_no_part_of_the_statement(word: str) -> None:
    found = query(f'display_name:"{word}" AND factory_id = {ID}')
    read = STORE.page(found, None, 10)
    statement, values = request(read.statement, read.parameters)
    assert word.encode() in values
    assert ID.encode() in values
    assert f"'{word}".encode() not in statement.text


def test_a_statement_is_prepared_when_its_shape_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_shapes", type(statements._shapes)())
    statement = STORE.page(query(f"factory_id = {ID}"), None, 10).statement
    assert isinstance(statement, Statement)
    assert not statement.is_prepared
    assert STORE.page(query(f"factory_id = {OTHER_ID}"), None, 10).statement is statement
    assert statement.is_prepared


def test_callers_cannot_make_the_server_keep_any_number_of_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_shapes", type(statements._shapes)())
    monkeypatch.setattr(statements, "_MOST_SHAPES", 3)
    for number in range(1, 10):
        STORE.page(query(" AND ".join([f"factory_id != {ID}"] * number)), None, 10)
    assert len(statements._shapes) == 3
