"""A seed draws the order of what is ready: one seed, one schedule; without one, first come, first served."""

from __future__ import annotations

import asyncio
import math

import pytest

from ztb.testing.virtual_time import Schedule, run_virtual


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
        for number, late_s in enumerate((1.0002, 1.0004, 1.5)):
            asyncio.get_running_loop().call_later(late_s, told.append, number)
        await asyncio.sleep(2.0)
        return told

    assert {tuple(run_virtual(ring(), seed)) for seed in range(20)} == {(0, 1, 2), (1, 0, 2)}


def test_what_a_thread_does_and_when_it_is_told_of_are_drawn_too():
    async def work() -> tuple[list[str], float]:
        told: list[str] = []

        async def in_a_thread(name: str) -> None:
            await asyncio.to_thread(told.append, f"{name} done")
            told.append(f"{name} told")

        async with asyncio.TaskGroup() as group:
            for name in "ab":
                group.create_task(in_a_thread(name))
        return told, asyncio.get_running_loop().time()

    runs = [run_virtual(work(), seed) for seed in range(40)]
    assert [run_virtual(work(), seed) for seed in range(40)] == runs
    assert len({tuple(told) for told, _ in runs}) == 6, "each order that is possible"
    assert all(0.0 <= took_s < 0.1 for _, took_s in runs)
    assert run_virtual(work()) == (["a done", "b done", "a told", "b told"], 0.0)


def test_what_a_thread_raises_is_raised_to_who_waits():
    async def work() -> None:
        await asyncio.to_thread(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        run_virtual(work(), 1)


def test_two_who_wait_for_less_than_a_millisecond_come_to_their_end():
    async def wait() -> None:
        loop = asyncio.get_running_loop()
        while (left_s := 1.00051 - loop.time()) > 0.0:  # noqa: ASYNC110 (what is tried)
            await asyncio.sleep(left_s)

    async def both() -> float:
        await asyncio.gather(wait(), wait())
        return asyncio.get_running_loop().time()

    assert 1.00051 <= run_virtual(both(), 1) < 1.01


def test_no_timer_rings_before_its_time():
    async def early() -> list[float]:
        loop = asyncio.get_running_loop()
        times = [math.nextafter(place * 1e-3, math.inf) for place in range(8_430_000, 8_440_000)]
        timers = [loop.call_at(when, print) for when in times]
        for timer in timers:
            timer.cancel()
        return [
            when for when, timer in zip(times, timers, strict=True) if not when <= timer.when() < when + 2e-3
        ]

    assert run_virtual(early(), 1) == []


def test_the_choices_that_were_taken_make_the_same_run_again():
    whole = Schedule(7, keep=True)
    told = run_virtual(said(), whole)
    assert run_virtual(said(), Schedule(7, only=whole.taken)) == told
    assert run_virtual(said(), Schedule(7, only={})) == run_virtual(said())
