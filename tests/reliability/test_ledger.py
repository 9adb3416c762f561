"""The ledger of `make chaos` notices each difference between the database and what was acknowledged."""

from random import Random

import pytest

from reliability.chaos.ledger import Entry, Ledger, Row

COG, WHEEL = Row("1", "cog"), Row("2", "wheel")
FIRST = Entry(1, 100, 10, 0)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.created([COG, WHEEL])
    return ledger


def test_a_database_with_exactly_what_was_acknowledged_has_no_problem(ledger: Ledger) -> None:
    assert list(ledger.problems([WHEEL, COG])) == []


def test_a_lost_creation_is_noticed(ledger: Ledger) -> None:
    [problem] = ledger.problems([COG])
    assert "lost" in problem
    assert "wheel" in problem


def test_a_difference_is_told_once(ledger: Ledger) -> None:
    assert len(list(ledger.problems([COG, Row("3", "stray")]))) == 2
    assert list(ledger.problems([COG, Row("3", "stray")])) == []


def test_a_creation_that_was_executed_twice_is_noticed(ledger: Ledger) -> None:
    [problem] = ledger.problems([COG, WHEEL, Row("3", "wheel")][::-1])
    assert "twice" in problem


def test_a_creation_that_is_not_in_the_ledger_is_noticed(ledger: Ledger) -> None:
    [problem] = ledger.problems([COG, WHEEL, Row("3", "stray")])
    assert "never acknowledged" in problem


def test_an_id_other_than_the_acknowledged_one_is_noticed(ledger: Ledger) -> None:
    [problem] = ledger.problems([COG, Row("3", "wheel")])
    assert "another id" in problem


def test_a_deletion_that_was_undone_is_noticed(ledger: Ledger) -> None:
    ledger.deleting([COG])
    ledger.has_deleted([COG])
    [problem] = ledger.problems([COG, WHEEL])
    assert "undone" in problem


def test_a_deletion_or_creation_without_an_answer_may_have_happened_or_not(ledger: Ledger) -> None:
    ledger.deleting([COG])
    ledger.unknown.add("new")
    assert list(ledger.problems([WHEEL])) == []
    assert list(ledger.problems([COG, WHEEL, Row("3", "new")])) == []


def test_what_is_being_deleted_is_not_drawn(ledger: Ledger) -> None:
    ledger.deleting([COG])
    assert {ledger.drawn(Random(n)) for n in range(20)} == {WHEEL}
    ledger.deleting([WHEEL])
    assert ledger.drawn(Random(1)) is None


def test_a_chart_with_the_acknowledged_goals_has_no_problem(ledger: Ledger) -> None:
    ledger.goals["f"] = [11, 12]
    entries = [Entry(2, 100, 10, 1), Entry(3, 101, 11, 1), Entry(4, 102, 11, 2), Entry(5, 103, 12, 2)]
    assert list(ledger.chart_problems("f", FIRST, entries)) == []


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([Entry(3, 101, 10, 1)], "gap after 1"),
        ([Entry(2, 101, 10, 1), Entry(2, 101, 10, 1)], "gap after 1"),
        ([Entry(2, 99, 10, 1)], "times that decrease"),
        ([Entry(2, 101, 11, 0)], r"goals \[11\], acknowledged were \[\]"),
    ],
    ids=["gap", "twice", "times", "goals"],
)
def test_a_wrong_chart_is_noticed(ledger: Ledger, entries: list[Entry], problem: str) -> None:
    [found] = ledger.chart_problems("f", FIRST, entries)
    assert problem.replace("\\", "") in found


def test_an_update_that_was_lost_or_executed_twice_is_noticed(ledger: Ledger) -> None:
    ledger.goals["f"] = [11]
    assert list(ledger.chart_problems("f", FIRST, []))
    ledger.goals["f"] = [11, 12]
    again = [Entry(n, 101, goal, 0) for n, goal in enumerate((11, 12, 11, 12), start=2)]
    assert list(ledger.chart_problems("f", FIRST, again))
