"""The outbox is bounded, keeps the newest, counts what it dropped, and loses nothing that was not published."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ztb.telemetry.mqtt.publisher import Outbox
from ztb.telemetry.mqtt.topics import Topic

FILLS, DECISIONS, STATE = Topic("fills"), Topic("decisions"), Topic("state", 0, True)


async def test_important_topics_go_first_and_of_a_state_only_the_newest():
    outbox: Outbox[str] = Outbox((FILLS, DECISIONS), 3)
    outbox.put_state(STATE, "old")
    outbox.put_event(DECISIONS, "decision")
    outbox.put_event(FILLS, "fill")
    outbox.put_state(STATE, "new")
    order = []
    for _ in range(3):
        item = await outbox.next()
        order.append(item.content)
        outbox.published(item)
    assert order == ["fill", "decision", "new"] and outbox.waiting == 0


async def test_what_was_not_published_comes_again():
    outbox: Outbox[str] = Outbox((FILLS,), 3)
    outbox.put_event(FILLS, "fill")
    assert (await outbox.next()).content == (await outbox.next()).content == "fill"


async def test_a_newer_state_is_not_taken_for_the_one_that_went_out():
    outbox: Outbox[str] = Outbox((), 3)
    outbox.put_state(STATE, "old")
    item = await outbox.next()
    outbox.put_state(STATE, "new")
    outbox.published(item)
    assert (await outbox.next()).content == "new"


async def test_it_wakes_who_waits():
    outbox: Outbox[str] = Outbox((FILLS,), 3)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.next())
        await asyncio.sleep(0)
        outbox.put_event(FILLS, "fill")
    assert waiting.result().content == "fill"


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_published_and_missed_are_all_there_was(steps, capacity):
    """True puts an event, False publishes one, if there is one."""

    async def check() -> None:
        outbox: Outbox[int] = Outbox((FILLS,), capacity)
        put, out, missed = 0, [], 0
        for step in [*steps, *[False] * capacity]:
            if step:
                outbox.put_event(FILLS, put)
                put += 1
            elif outbox.waiting:
                item = await outbox.next()
                out.append(item.content)
                missed = item.missed
                outbox.published(item)
            assert outbox.waiting <= capacity
        assert len(out) + outbox.missed == put and missed <= outbox.missed
        assert out == sorted(out) and (not put or out[-1] == put - 1)

    asyncio.run(check())


async def test_one_that_was_dropped_while_it_was_sent_takes_no_other_with_it():
    outbox: Outbox[int] = Outbox((FILLS,), 1)
    outbox.put_event(FILLS, 1)
    item = await outbox.next()
    outbox.put_event(FILLS, 2)
    outbox.published(item)
    assert (await outbox.next()).content == 2 and outbox.missed == 1
