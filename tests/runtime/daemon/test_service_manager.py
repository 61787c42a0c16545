"""`ztb run` under a service manager: it hears when the daemon is ready, alive and about to go."""

from __future__ import annotations

import asyncio
import signal
import socket

import numpy as np

from runtime.daemons import start
from ztb.market.ticks import TICK
from ztb.runtime.sources.feed import StoppableSource


def test_the_service_manager_hears_ready_alive_and_stopping(write_bars, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        door.settimeout(180.0)
        process = start(
            "run", "--mode", "replay", "--data", write_bars(3000), "--speed", "36000", "--strategy", "hold",
            "--out", "run", "--json", cwd=tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000",
        )  # fmt: skip
        heard: list[str] = []
        while heard.count("READY=1") == 0 or heard.count("WATCHDOG=1") < 3:
            heard.append(door.recv(4096).decode())
        process.send_signal(signal.SIGTERM)
        while not heard[-1].startswith("STOPPING=1"):
            heard.append(door.recv(4096).decode())
        assert process.wait() == 0
        process.communicate()
    assert heard.count("READY=1") == 1 and any(said.startswith("STATUS=trading: ") for said in heard)


class Blocks:
    """A source that gives blocks without end."""

    instrument = None

    async def blocks(self):
        while True:
            yield np.zeros(1, TICK)
            await asyncio.sleep(0)


async def test_a_daemon_that_leaves_blocks_waiting_makes_no_progress_and_one_that_takes_them_does():
    feed = StoppableSource(Blocks())  # type: ignore[arg-type]
    pump = asyncio.create_task(feed.pump(), name="pump")
    for _ in range(30):
        await asyncio.sleep(0)
    assert feed.waiting and feed.taken == 0
    blocks = feed.blocks()
    await anext(blocks)
    assert feed.waiting and feed.taken == 1
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
