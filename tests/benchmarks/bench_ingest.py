"""How quickly live messages become ticks, and how much of that is ccxt's: alternated rounds in one process, no socket.

`PYTHONPATH=daemon:tests python tests/benchmarks/bench_ingest.py TAPE [--rounds N] [--burst FOLDER --speed S]`.

The messages of a recording of Binance's streams go through an unmodified ccxt client in memory, first read by nobody
but ccxt's own `watch_*`, then by the live source, which makes blocks of ticks of them and checks every trade id, by way
of ccxt's messages and by its own decoders. CPU time counts. `--burst` plays the tape over sockets to a whole paper daemon that learns, and tells the lag of its
trades: compare ratios, not microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from market.live.burst import play
from market.live.memory_binance import SYMBOL
from market.live.tape_server import Message, answer, read_tape, stamped, trades_of
from ztb.market.live.client import ClientSettings, VenueClient, client_factory
from ztb.market.live.source import FeedSettings, open_live_source
from ztb.market.ticks import TRADE
from ztb.testing.memory_transport import MemoryReply, MemorySession, MemorySocket

_BATCH = 100


class TapeVenue:
    """A recording as a venue in memory."""

    def __init__(self, messages: list[Message], snapshot: dict[str, Any]) -> None:
        self.messages = [(kind, stamped(body, time.time_ns() // 10**6)) for _, kind, body in messages]
        self.snapshot = snapshot
        self.sockets: dict[str, MemorySocket] = {}

    async def request(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> MemoryReply:
        name = url.split("?")[0].rsplit("/", 1)[1]
        return MemoryReply(json.dumps(answer(name, self.snapshot, [], {})))

    def connect(self, url: str, socket: MemorySocket) -> None:
        def heard(text: str) -> None:
            asked = json.loads(text)
            for stream in asked["params"]:
                self.sockets[stream.split("@")[1]] = socket
            socket.say(json.dumps({"result": None, "id": asked["id"]}))

        socket.heard = heard

    async def play(self) -> None:
        """Everything, as fast as it is read, and until it was."""
        while len(self.sockets) < 3:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
        for i, (kind, text) in enumerate(self.messages):
            self.sockets[kind].say(text)
            if i % _BATCH == 0:
                await asyncio.sleep(0)
        while any(socket.unread for socket in self.sockets.values()):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.002)

    def make(self) -> Any:
        inner = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False}
        options = {"session": MemorySession(self), "enableRateLimit": False, "options": inner}
        return client_factory(ClientSettings("binance", options))


async def by_ccxt(venue: TapeVenue, trades: int) -> float:
    """CPU seconds until ccxt has told all trades to a reader that drops them."""
    client: VenueClient = venue.make()()
    await client.load_markets()
    told = 0

    async def read_trades() -> None:
        nonlocal told
        while told < trades:
            told += len(await client.watch_trades(SYMBOL))

    async def read(watch: Any, *arguments: Any) -> None:
        while True:
            await watch(*arguments)

    async with asyncio.TaskGroup() as tasks:
        others = [
            tasks.create_task(read(client.watch_bids_asks, [SYMBOL])),
            tasks.create_task(read(client.watch_order_book, SYMBOL)),
        ]
        counting = tasks.create_task(read_trades())
        begun = time.process_time()
        await venue.play()
        await counting
        spent = time.process_time() - begun
        for task in others:
            task.cancel()
    await client.close()
    return spent


async def by_ztb(venue: TapeVenue, trades: int, decoders: bool) -> float:
    """CPU seconds until the live source has handed on all trades as blocks."""
    settings = FeedSettings(streams=("trades", "quotes", "depth"), decoders=decoders)
    source = await open_live_source(venue.make(), SYMBOL, settings, time.time_ns, lambda: 0.5)
    told, all_told = 0, asyncio.Event()

    async def consume() -> None:
        nonlocal told
        async for block in source.blocks():
            told += int((block["kind"] == TRADE).sum())
            if told >= trades:
                all_told.set()

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(source.run())
        tasks.create_task(consume())
        await asyncio.sleep(0.2)
        begun = time.process_time()
        await venue.play()
        await all_told.wait()
        spent = time.process_time() - begun
        running.cancel()
    assert told == trades
    return spent


def rates(tape: Path, rounds: int) -> None:
    messages, snapshot = read_tape(tape)
    trades = len(trades_of(messages))
    measures: dict[str, Callable[[TapeVenue, int], Coroutine[Any, Any, float]]] = {
        "ccxt alone": by_ccxt,
        "the live source by way of ccxt": partial(by_ztb, decoders=False),
        "the live source by its decoders": partial(by_ztb, decoders=True),
    }
    spent: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            spent[name].append(asyncio.run(measure(TapeVenue(messages, snapshot), trades)))
    ccxt, n = float(np.median(spent["ccxt alone"])), len(messages)
    print(f"{tape.name}: {n:,} messages, {trades:,} trades, {rounds} rounds alternated, medians of CPU time")
    for name, seconds in spent.items():
        mine = float(np.median(seconds))
        print(
            f"  {name:32} {n / mine:9,.0f} messages/s  {1e6 * mine / n:6.1f} us each, ratio {mine / ccxt:.2f}"
        )


def burst(tape: Path, speed: float, folder: Path) -> None:
    folder.mkdir(parents=True)
    seen = asyncio.run(play(tape, speed, 0.0, folder))
    p50, p99, most = np.percentile(seen.lag_ms, [50, 99, 100])
    same = "every one once, in order" if seen.received == seen.sent else "NOT THE SAME"
    print(f"{tape.name}: {len(seen.sent):,} trades sent, {len(seen.received):,} recorded: {same}")
    print(f"  the last {seen.fast:,} at {speed:g}x, those before until the first update as recorded")
    print(f"  sent to received: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms")
    print(
        f"  decisions {seen.summary['decisions']}, updates {seen.summary['updates']}, gaps {seen.summary['gaps']}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tape", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--burst", type=Path, help="folder of the run")
    parser.add_argument("--speed", type=float, default=10.0)
    options = parser.parse_args()
    if options.burst:
        burst(options.tape, options.speed, options.burst)
    else:
        rates(options.tape, options.rounds)
