"""A real process under the watchdog, as the daemon is: `busy` progresses in short steps, `blocked` stops the loop once,
`stuck` keeps the loop turning while the work it waits for does not go on."""

import asyncio
import os
import sys
import time

from telemetry.telemetry_snapshots import snapshot
from ztb.telemetry.systemd import Notifier, SystemdObserver


def block(seconds: float) -> None:
    """Hold the loop up."""
    time.sleep(seconds)


class Work:
    def __init__(self) -> None:
        self.turns = 0

    async def run(self, kind: str) -> None:
        for i in range(1000):
            if kind == "busy":
                block(0.02)
            elif kind == "blocked" and i == 10:
                block(2.5)
            elif kind == "stuck" and i == 10:
                await asyncio.Event().wait()
            self.turns += 1
            await asyncio.sleep(0.01)


async def main(kind: str) -> None:
    work = Work()
    observer = SystemdObserver(Notifier(os.environ), lambda: work.turns)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work.run(kind), name="work")
        tasks.create_task(observer.run(lambda: snapshot(ticks=work.turns), None), name="systemd")


asyncio.run(main(sys.argv[1]))
