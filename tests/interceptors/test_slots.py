"""Slots and turns: of all, and of one holder. What was released can be taken again."""

import asyncio

import pytest

from sprocket_grpc.errors import OverloadedError, PrincipalLimitError
from sprocket_grpc.slots import Slots, Turns
from tests.support.waiting import until


def test_all_slots_can_be_taken_and_no_more() -> None:
    slots = Slots(3, 3, "calls")
    slots.take("one", 2)
    slots.take("other")
    with pytest.raises(OverloadedError, match="3 calls"):
        slots.take("third")
    slots.release("one", 2)
    slots.take("third", 2)


def test_a_holder_has_its_share_and_no_more() -> None:
    slots = Slots(9, 2, "calls")
    slots.take("one", 2)
    with pytest.raises(PrincipalLimitError) as raised:
        slots.take("one")
    assert str(raised.value) == str(PrincipalLimitError("one", "2 calls"))
    slots.take("other", 2)


def test_a_holder_that_releases_one_slot_still_holds_the_others() -> None:
    slots = Slots(9, 2, "calls")
    slots.take("one", 2)
    for _ in range(3):
        slots.release("one")
        slots.take("one")
        with pytest.raises(PrincipalLimitError):
            slots.take("one")


def test_who_is_refused_takes_nothing() -> None:
    slots = Slots(3, 2, "calls")
    slots.take("one")
    for _ in range(5):
        with pytest.raises(PrincipalLimitError):
            slots.take("one", 2)
        with pytest.raises(OverloadedError):
            slots.take("other", 3)
    slots.take("one")
    slots.take("other")


def test_nothing_is_kept_of_holders_who_have_left() -> None:
    slots = Slots(1, 1, "calls")
    for number in range(5):
        slots.take(f"holder {number}")
        slots.release(f"holder {number}")
    assert not slots._held


class Holders:
    """Holders that have a turn until it ends."""

    def __init__(self, turns: Turns) -> None:
        self.running: list[str] = []
        self._turns = turns

    def start(self, holder: str) -> "asyncio.Task[None]":
        """Let a holder wait for a turn and keep it."""
        return asyncio.create_task(self._hold(holder))

    async def _hold(self, holder: str) -> None:
        async with self._turns.turn(holder):
            self.running.append(holder)
            try:
                await asyncio.Event().wait()
            finally:
                self.running.remove(holder)


async def end(*tasks: "asyncio.Task[None]") -> None:
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)


async def test_who_waits_for_its_own_share_takes_no_turn_of_others() -> None:
    holders = Holders(Turns(3, 2))
    greedy = [holders.start("greedy") for _ in range(4)]
    await until(lambda: len(holders.running) == 2)
    modest = [holders.start("modest") for _ in range(2)]
    await until(lambda: holders.running == ["greedy", "greedy", "modest"])
    await end(*greedy)
    await until(lambda: holders.running == ["modest", "modest"])
    await end(*modest)


async def test_a_turn_that_ends_is_that_of_the_next_who_waits_and_a_cancelled_wait_takes_none() -> None:
    holders = Holders(Turns(1, 1))
    first, cancelled, next_one = (holders.start(each) for each in ("first", "cancelled", "next"))
    await until(lambda: holders.running == ["first"])
    await end(cancelled)
    assert holders.running == ["first"]
    await end(first)
    await until(lambda: holders.running == ["next"])
    await end(next_one)


async def test_no_turns_are_kept_of_holders_who_have_left() -> None:
    turns = Turns(1, 1)
    for number in range(5):
        async with turns.turn(f"holder {number}"):
            pass
    assert not turns._held
    assert not turns._waiting
