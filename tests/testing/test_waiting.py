"""How tests wait: each wait has an end, and says then what it has waited for."""

import asyncio
from collections.abc import Callable

import pytest

from tests import ROOT
from tests.support.locks import open_transaction, waiting_for
from tests.support.waiting import until, wait_until


async def never() -> bool:
    """Happens never."""
    return False


async def hangs() -> bool:
    """Never answers."""
    await asyncio.Event().wait()
    return True


@pytest.mark.parametrize(
    ("condition", "said"),
    [(lambda: [] == [0], r"within 0.1 s: .*\[\] == \[0\]"), (never, "Happens never"), (hangs, "Never answers")],
    ids=["false", "false in a coroutine", "no answer"],
)
async def test_a_wait_for_what_does_not_happen_ends_and_says_so(condition: Callable[[], bool], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        await until(condition, seconds=0.1)


def test_a_wait_in_a_thread_ends_and_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"\[\] == \[1\]"):
        wait_until(lambda: [] == [1], seconds=0.1)


async def test_an_error_of_what_is_waited_for_is_that_of_the_wait() -> None:
    async def fail() -> bool:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await until(fail)


async def test_a_wait_for_a_lock_that_nobody_wants_ends(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.locks.PATIENCE_SECONDS", 0.1)
    async with open_transaction(database_url, "SELECT 1") as transaction:
        with pytest.raises(AssertionError, match="count"):
            await waiting_for(transaction)


def test_no_test_waits_in_a_loop_of_its_own() -> None:
    files = {each for each in (ROOT / "tests").rglob("*.py") if "noqa: " + "ASYNC110" in each.read_text()}
    assert files == {ROOT / "tests/support/waiting.py"}, "use tests.support.waiting.until"
