"""A broker that is down for an hour, in virtual time: memory stays flat, the newest state is there when it returns."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

from telemetry.made_up import decision_row, fill_row, snapshot
from ztb.secrets import Redactor
from ztb.telemetry.mqtt.connection import Incoming, Link, LinkLost
from ztb.telemetry.mqtt.payloads import PayloadEncoder
from ztb.telemetry.mqtt.publisher import CAPACITY, MqttObserver
from ztb.telemetry.mqtt.topics import Topic, Topics
from ztb.testing.virtual_time import run_virtual

HOUR_S = 3600


class Broker:
    """Down until told otherwise."""

    def __init__(self) -> None:
        self.up = False
        self.attempts: list[float] = []
        self.published: list[tuple[str, dict[str, Any]]] = []

    @contextlib.asynccontextmanager
    async def connect(self, will: Topic, payload: bytes) -> AsyncIterator[Link]:
        self.attempts.append(asyncio.get_running_loop().time())
        if not self.up:
            raise LinkLost("connection refused")
        yield self

    async def publish(self, topic: Topic, payload: bytes) -> None:
        self.published.append((topic.name, json.loads(payload)))

    async def subscribe(self, topic: str) -> bool:
        return True

    async def messages(self) -> AsyncIterator[Incoming]:
        await asyncio.Event().wait()
        yield Incoming(b"", False)


def test_an_hour_without_a_broker():
    broker = Broker()
    observer = MqttObserver(broker.connect, Topics("ztb", "paper"), PayloadEncoder(Redactor()), 1.0)
    asked = 0

    def now() -> Any:
        nonlocal asked
        asked += 1
        return snapshot(equity=float(asyncio.get_running_loop().time()))

    async def hour() -> list[int]:
        sizes = []
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(observer.run(now, None))  # type: ignore[arg-type]
            for second in range(HOUR_S):
                await asyncio.sleep(1)
                observer.record(decision_row(second))
                observer.record(fill_row(second))
                if second in (HOUR_S // 2, HOUR_S - 1):
                    sizes.append(tracemalloc.get_traced_memory()[0])
            broker.up = True
            await asyncio.sleep(31)
            task.cancel()
        return sizes

    tracemalloc.start()
    try:
        half, whole = run_virtual(hour())
    finally:
        tracemalloc.stop()
    assert whole - half < 20_000, "flat from the moment the queues are full"
    assert 100 < len(broker.attempts) < 140 and max(_gaps(broker.attempts)) == 30.0
    assert asked < 100, "no snapshot is taken while nobody would get it"
    states = [content for topic, content in broker.published if topic.endswith("/state")]
    assert states[0]["equity"] >= HOUR_S
    fills = [content for topic, content in broker.published if topic.endswith("/fills")]
    assert [fill["fill_id"] for fill in fills] == list(range(HOUR_S - CAPACITY, HOUR_S))
    assert fills[-1]["missed"] == HOUR_S - CAPACITY


def _gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in zip(times[:-1], times[1:], strict=True)]
