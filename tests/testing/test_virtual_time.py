"""A seed draws the order of what is ready: one seed, one schedule; without one, first come, first served."""

from __future__ import annotations

import asyncio

from ztb.testing.virtual_time import run_virtual


async def said() -> list[str]:
    told: list[str] = []

    async def say(name: str) -> None:
        for turn in range(3):
            told.append(f"{name}{turn}")
            await asyncio.sleep(0)
        await asyncio.sleep(1.0)
        told.append(f"{name} late")

    async with asyncio.TaskGroup() as group:
        for name in "abcd":
            group.create_task(say(name))
    return told


def test_without_a_seed_it_is_first_come_first_served():
    told = run_virtual(said())
    assert told[:12] == [f"{name}{turn}" for turn in range(3) for name in "abcd"]


def test_a_seed_is_one_schedule_and_seeds_differ():
    runs = [run_virtual(said(), seed) for seed in range(40)]
    assert [run_virtual(said(), seed) for seed in range(40)] == runs
    assert len({tuple(told) for told in runs}) > 35
    assert {told[0] for told in runs} == {"a0", "b0", "c0", "d0"}
    for told in runs:
        assert [one for one in told if one.startswith("a")] == ["a0", "a1", "a2", "a late"], (
            "a task keeps its own order"
        )


def test_timers_of_a_millisecond_ring_in_any_order_and_others_in_theirs():
    async def ring() -> list[int]:
        told: list[int] = []
        for number, late_s in enumerate((1.0, 1.0002, 1.5)):
            asyncio.get_running_loop().call_later(late_s, told.append, number)
        await asyncio.sleep(2.0)
        return told

    assert {tuple(run_virtual(ring(), seed)) for seed in range(20)} == {(0, 1, 2), (1, 0, 2)}
