"""Turns: how many at a time, who is next, and what a cancelled wait leaves."""

import asyncio
import random
from collections import Counter

from sprocket_grpc.slots import Turns


async def settle() -> None:
    """Let all tasks run as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def hold(turns: Turns, holder: str, held: list[str], release: asyncio.Event) -> None:
    async with turns.turn(holder):
        held.append(holder)
        try:
            await release.wait()
        finally:
            held.remove(holder)


async def test_a_holder_has_its_share_and_others_have_the_rest() -> None:
    turns, held, release = Turns(4, 3), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(turns, "greedy", held, release)) for _ in range(10)]
    await settle()
    assert held == ["greedy"] * 3
    tasks += [asyncio.create_task(hold(turns, "modest", held, release)) for _ in range(2)]
    await settle()
    assert Counter(held) == {"greedy": 3, "modest": 1}
    release.set()
    await asyncio.gather(*tasks)


async def test_the_holder_with_the_fewest_turns_is_next() -> None:
    turns, held = Turns(3, 3), list[str]()
    ends = [asyncio.Event() for _ in range(9)]
    tasks = [asyncio.create_task(hold(turns, "greedy", held, end)) for end in ends[:8]]
    await settle()
    tasks.append(asyncio.create_task(hold(turns, "modest", held, ends[8])))
    await settle()
    ends[0].set()
    await settle()
    assert Counter(held) == {"greedy": 2, "modest": 1}
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)


async def test_no_turn_is_lost_or_made_up_whatever_is_cancelled() -> None:
    draw = random.Random(7)  # noqa: S311  # no secret
    turns, held, release = Turns(3, 2), list[str](), asyncio.Event()
    for _ in range(200):
        tasks = [asyncio.create_task(hold(turns, draw.choice("abc"), held, release)) for _ in range(draw.randint(1, 8))]
        for _ in range(draw.randint(0, 3)):
            await asyncio.sleep(0)
        for task in draw.sample(tasks, draw.randint(0, len(tasks))):
            task.cancel()
        assert len(held) <= 3
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        release.clear()
        assert turns.are_free("a")
        assert not turns.is_waiting("a")
    tasks = [asyncio.create_task(hold(turns, holder, held, release)) for holder in "abc"]
    await settle()
    assert len(held) == 3
    release.set()
    await asyncio.gather(*tasks)


async def test_holders_who_always_wait_have_the_only_turn_alternately() -> None:
    turns, order = Turns(1, 1), list[str]()

    async def work(holder: str) -> None:
        async with turns.turn(holder):
            order.append(holder)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(holder) for holder in ["greedy"] * 6 + ["modest"] * 2))
    assert order == ["greedy", "greedy", "modest", "greedy", "modest", "greedy", "greedy", "greedy"]
