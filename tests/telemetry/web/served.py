"""A page that is served on a loopback port that the system chose, from a daemon in full swing."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from telemetry.made_up import (
    SECOND_NS,
    START_NS,
    alert,
    fill_row,
    generation_row,
    refusal_row,
    snapshot,
    update_row,
)
from ztb.secrets import Redactor
from ztb.telemetry.metrics import Metrics
from ztb.telemetry.snapshot import DaemonSnapshot
from ztb.telemetry.web.listening import Listening
from ztb.telemetry.web.server import WebObserver

NAMES = frozenset({"localhost", "127.0.0.1"})


class Served:
    """The observer and what it watches; `port` once it listens."""

    def __init__(self, redact: Redactor | None = None, **listening: Any) -> None:
        where = Listening(**{"hosts": NAMES, "host": "127.0.0.1", **listening})
        self.metrics = Metrics([lambda: {"mqtt_waiting": 3.0}])
        self.observer = WebObserver(where, self.metrics, redact or Redactor())
        self.now: DaemonSnapshot = snapshot()
        self.port = 0

    def live_a_day(self) -> None:
        """Hours of marks, fills, updates, generations and an alert."""
        for minute in range(1440):
            ts_ns = START_NS + minute * 60 * SECOND_NS
            wave = math.sin(minute / 90.0) + 0.3 * math.sin(minute / 11.0)
            self.observer._feed.sample(
                snapshot(
                    last_tick_ns=ts_ns, mid=5000.0 + 40.0 * wave, equity=10_000.0 + 0.02 * minute + 9.0 * wave,
                    hold_equity=10_000.0 + 25.0 * wave, frozen_equity=10_000.0 - 0.01 * minute + 7.0 * wave,
                    position=round(max(0.0, wave), 1),
                )
            )  # fmt: skip
            if minute % 40 == 0:
                row = fill_row(minute + 1, 1 if minute % 80 else -1, ts_ns)
                self.observer.record(msgspec.structs.replace(row, price=f"{5000.0 + 40.0 * wave:.2f}"))
            if minute % 24 == 0:
                self.observer.record(update_row(minute // 24 + 1))
        for number, event in enumerate(["promoted", "rejected", "promoted", "rolled_back"], 1):
            self.observer.record(generation_row(number, event))
        self.observer.record(refusal_row())
        self.observer.alert(alert())
        self.observer.alert(alert("drawdown", "drawdown 18 % is near the limit of 20 %", "critical"))
        self.now = snapshot(
            now_ns=START_NS + 86_400 * SECOND_NS, last_tick_ns=START_NS + 1439 * 60 * SECOND_NS
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Served]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.observer.run(lambda: self.now, None))  # type: ignore[arg-type]
            async with asyncio.timeout(60):
                while not self.observer.addresses:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            address = self.observer.addresses[0]
            self.port = address[1] if isinstance(address, tuple) else 0
            yield self
            task.cancel()
