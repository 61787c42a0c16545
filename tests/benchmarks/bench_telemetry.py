"""What telemetry costs the trading loop: `python tests/benchmarks/bench_telemetry.py [--rounds N]`.

A daemon trades made-up bars, a decision each, that fall due every 5 ms of wall time. Rounds with everything on (MQTT
through a proxy that passes 20 kB/s, so that the broker falls ever further behind; the page with a viewer; metrics
scraped every second; logs; an alert a second) alternate with rounds with everything off. A tick's latency runs from
the moment it was due until the engine asked for the next: work and waiting. Proxy, broker and viewer have processes of
their own. Needs Mosquitto.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "daemon"))

import numpy as np

from runtime.daemons import make_daemon
from telemetry.mqtt.brokers import Mosquitto, free_port
from ztb.market.ticks import Ticks
from ztb.ports import Source
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.daemon.observers import configured_observers
from ztb.telemetry.logs import configure_logging
from ztb.telemetry.mqtt.publisher import MqttObserver

STEP_S = 0.005
WARM_ROWS = 300

PROXY = """
import asyncio, sys
port, target = map(int, sys.argv[1:])
async def pump(reader, writer, slow):
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
        if slow:
            await asyncio.sleep(len(data) / 20_000)
    writer.close()
async def serve(reader, writer):
    inner, outer = await asyncio.open_connection("127.0.0.1", target)
    await asyncio.gather(pump(reader, outer, True), pump(inner, writer, False))
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", port, limit=4096) as server:
        await server.serve_forever()
asyncio.run(main())
"""

VIEWER = """
import asyncio, sys, aiohttp
async def scrape(session, base):
    while True:
        async with session.get(base + "/metrics") as answer:
            await answer.read()
        await asyncio.sleep(1)
async def main():
    base = f"http://127.0.0.1:{sys.argv[1]}"
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(base + "/live") as socket, asyncio.TaskGroup() as tasks:
                    tasks.create_task(scrape(session, base))
                    async for _ in socket:
                        pass
            except* (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)
asyncio.run(main())
"""


class Due:
    """In place of the daemon's feed, without its queue: gives a row every STEP_S once the first WARM_ROWS are through,
    and notes how late the engine was done with each."""

    def __init__(self, source: Source) -> None:
        self.instrument = source.instrument
        self._source = source
        self.late_s: list[float] = []

    async def pump(self) -> None:
        """The engine takes from us directly."""
        await asyncio.Event().wait()

    def stop(self) -> None:
        """The data end by themselves."""

    async def blocks(self) -> AsyncIterator[Ticks]:
        row = 0
        due_s = 0.0
        async for block in self._source.blocks():
            for i in range(len(block)):
                if row == WARM_ROWS:
                    await asyncio.sleep(1.0)
                    due_s = time.perf_counter()
                if row >= WARM_ROWS:
                    due_s += STEP_S
                    await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                yield block[i : i + 1]
                if row >= WARM_ROWS:
                    self.late_s.append(time.perf_counter() - due_s)
                row += 1


async def alarms(daemon: Daemon) -> None:
    """An alert a second."""
    number = 0
    while True:
        await asyncio.sleep(1.0)
        number += 1
        daemon.alert("info", "bench", f"alert {number}")


async def one_round(
    data: Path, out: Path, watched: bool, mqtt_port: int, web_port: int
) -> tuple[list[float], float]:
    """Latencies, and how many MQTT events found no room."""
    settings: dict[str, Any] = {"online__learner": "off"}
    if watched:
        settings |= {
            "mqtt__broker": "127.0.0.1", "mqtt__port": mqtt_port, "telemetry__web_listen": f"127.0.0.1:{web_port}",
        }  # fmt: skip
    configure_logging(
        "info" if watched else "error", "json", ["hunter2-hunter2"], daemon=True, stream=out.open("w")
    )
    daemon, source = make_daemon(data, out.with_suffix(""), "ppo_online", **settings)
    due = Due(source._source)
    daemon._feed = due  # type: ignore[assignment]
    observers = []
    if watched:
        observers = configured_observers(
            daemon.session.assembly.config, "bench", daemon.session, SystemClock(), {}
        )
        daemon.watch(observers)
    noise = asyncio.create_task(alarms(daemon)) if watched else None
    await daemon.run()
    if noise is not None:
        noise.cancel()
    mqtt = next((found for found in observers if isinstance(found, MqttObserver)), None)
    return due.late_s, mqtt.gauges()["mqtt_missed"] if mqtt else 0.0


def bars(path: Path, rows: int) -> Path:
    rng = np.random.default_rng(0)
    closes = np.round(5000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.002, rows + 1))), 2)
    lines = ["timestamp,open,high,low,close,volume"]
    for i in range(rows):
        low, high = min(closes[i], closes[i + 1]) - 0.5, max(closes[i], closes[i + 1]) + 0.5
        lines.append(
            f"{1_500_000_000_000 // 60_000 * 60_000 + i * 60_000},{closes[i]:.2f},{high:.2f},{low:.2f},{closes[i + 1]:.2f},50"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    with contextlib.ExitStack() as ending, tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        broker, proxy_port, web_port = Mosquitto(place), free_port(), free_port()
        asyncio.run(broker.start())
        ending.callback(broker.stop)
        for script, arguments in ((PROXY, (proxy_port, broker.port)), (VIEWER, (web_port,))):
            child = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, arguments)], stderr=subprocess.DEVNULL
            )
            ending.callback(child.kill)
        data = bars(place / "bars.csv", WARM_ROWS + int(options.seconds / STEP_S))
        found: dict[bool, list[float]] = {False: [], True: []}
        missed = 0.0
        for number in range(-1, 2 * options.rounds):
            watched = number % 2 == 1
            late, lost = asyncio.run(
                one_round(data, place / f"run{number}.log", watched, proxy_port, web_port)
            )
            missed += lost
            p50, p99 = np.percentile(late, [50, 99]) * 1e3
            if number >= 0:
                found[watched].append(p99)
            print(
                f"{'on ' if watched else 'off'} p50 {p50:.3f} ms, p99 {p99:.3f} ms, {lost:.0f} MQTT events dropped"
            )
        logging.getLogger().handlers.clear()
        off, on = median(found[False]), median(found[True])
        print(
            f"p99 {off:.3f} ms off, {on:.3f} ms on: ratio {on / off:.3f} (goal: at most 1.1); dropped {missed:.0f}"
        )


if __name__ == "__main__":
    main()
